"""Classes drawn from categorical distributions, for every algorithm."""

import torch
from torch import Tensor


@torch.no_grad()
def draw_classes(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return classes (...) drawn by inverse CDF from probabilities (..., C) with noise (...) in [0, 1)."""
    if torch.compiler.is_exporting():  # ONNX has no search
        return (probabilities.cumsum(-1)[..., :-1] <= uniform[..., None]).sum(-1)
    drawn = torch.searchsorted(probabilities.cumsum(-1), uniform[..., None], right=True)[..., 0]
    return drawn.clamp(max=probabilities.shape[-1] - 1)  # rounding can leave the last sum below the noise
