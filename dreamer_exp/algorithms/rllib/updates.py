"""Batches of RLlib's learners."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def arrays(batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the numbers of a batch as arrays on the host."""
    found = {name: _array(value) for name, value in batch.items()}
    return {name: value for name, value in found.items() if value is not None}


def _array(value: Any) -> NDArray[Any] | None:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else None
