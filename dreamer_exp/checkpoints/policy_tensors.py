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


def read_tensors(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in policy.safetensors, on the CPU, in float32 or float16.

    Raises:
        UserError: The file is not complete, or its names or shapes are not the expected ones.
    """
    try:
        found = load_file(folder / TENSORS)
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


def _shape_text(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
