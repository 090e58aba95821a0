"""How near a float32 kernel has to come to the eager functions in float64."""

import torch
from torch import Tensor


def close(found: Tensor, wanted: Tensor, relative: float = 2e-6) -> None:
    """Within a share of the largest number wanted: small ones are differences of large ones."""
    atol = relative * float(wanted.detach().abs().max())
    torch.testing.assert_close(found.double(), wanted.detach().double(), rtol=0.0, atol=atol)
