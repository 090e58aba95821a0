"""Memory of which the system takes a page only when it is first written, whatever the size asked for.

Linux refuses an ordinary allocation that is much larger than the free memory, although a replay of a million steps
that a run fills to a tenth never needs it. A mapping without reservation is not counted (mmap(2), MAP_NORESERVE),
unless vm.overcommit_memory is 2.
"""

import math
import mmap
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0  # Python names it from 3.13 on; macOS reserves nothing anyway


def lazy_array(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of zeros on the host.

    Raises:
        OSError: The system does not grant the memory.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    return np.frombuffer(memory, dtype).reshape(shape)


def lazy_tensor(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor with arbitrary values; on a GPU, its memory is taken at once.

    Raises:
        OSError: The system does not grant the memory.
    """
    if device.type != "cpu":
        return torch.empty(tuple(shape), dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    return torch.from_numpy(lazy_array((size,), np.uint8)).view(dtype).view(tuple(shape))
