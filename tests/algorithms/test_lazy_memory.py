"""Memory that is taken when it is written."""

import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from dreamer_exp.algorithms.lazy_memory import lazy_array, lazy_tensor

OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
CPU = torch.device("cpu")


@pytest.mark.skipif(
    sys.platform != "linux" or OVERCOMMIT.read_text().strip() == "2", reason="this system counts all memory asked for"
)
def test_more_than_the_memory_of_the_machine_can_be_asked_for() -> None:
    rows = 3 * psutil.virtual_memory().total // 1024
    tensor = lazy_tensor((rows, 256), torch.float32, CPU)
    tensor[-1] = 7.0
    assert tensor[-1].tolist() == [7.0] * 256
    assert tensor[0].tolist() == [0.0] * 256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.uint8, torch.int32])
def test_a_tensor_has_its_shape_and_type_and_can_be_written(dtype: torch.dtype) -> None:
    tensor = lazy_tensor((3, 2), dtype, CPU)
    tensor[1] = 5
    assert (tuple(tensor.shape), tensor.dtype) == ((3, 2), dtype)
    assert tensor.sum().item() == 10


def test_an_array_holds_zeros_and_can_be_written() -> None:
    array = lazy_array((4, 3), np.float32)
    array[2] += 1.0
    assert (array.dtype, array.sum()) == (np.float32, 3.0)
