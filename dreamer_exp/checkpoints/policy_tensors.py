"""Reading of policy.safetensors against the tensors of a network. Importing this needs torch and safetensors alone."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS
from dreamer_exp.config.errors import UserError

FLOATS = (torch.float32, torch.float16)  # of the weights in a file; a network has the first
SCALE = ".scale"  # after the name of a weight in int8: the tensor of its rows' scales
LARGEST = 127.0  # of an int8 weight, which is symmetric


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight of any shape (..., n) rounded to int8, and the float32 scale of each row, (..., 1)."""
    scale = weight.abs().amax(-1, keepdim=True) / LARGEST
    return (weight / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().to(torch.int8), scale


def read_tensors(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights in policy.safetensors, on the CPU, in float32 or float16.

    Raises:
        UserError: The file is not complete, or its names or shapes are not the expected ones.
    """
    try:
        found = _multiplied(load_file(folder / TENSORS))
    except SafetensorError as error:
        raise UserError(f"{folder / TENSORS}: not a complete safetensors file; name another checkpoint.") from error
    for name in sorted(expected.keys() | found.keys()):
        source, target = found.get(name), expected.get(name)
        if source is None or target is None or source.shape != target.shape or source.dtype not in FLOATS:
            raise UserError(
                f"{folder / TENSORS}: {name} is {_shape_text(source)}, but {DESCRIPTION} next to it requires "
                f"{_shape_text(target)}; the files are of different policies: name another checkpoint."
            )
    return found


def _multiplied(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with each weight in int8 multiplied by its scales; one without them stays as it is."""
    scaled = {name: name + SCALE for name, tensor in stored.items() if _has_scales(tensor, stored.get(name + SCALE))}
    rest = {name: tensor for name, tensor in stored.items() if name not in scaled.values()}
    return rest | {name: stored[name] * stored[scale] for name, scale in scaled.items()}


def _has_scales(weight: Tensor, scale: Tensor | None) -> bool:
    if scale is None or weight.dtype is not torch.int8 or scale.dtype is not torch.float32:
        return False
    return weight.ndim > 0 and scale.shape == (*weight.shape[:-1], 1)


def _shape_text(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    scales = " without float32 scales of its rows" if tensor.dtype is torch.int8 else ""
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}{scales}"
