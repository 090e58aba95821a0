"""Sigmoid, SiLU and tanh against torch's, including extreme values."""

import math

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, silu, tanh
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE

SIZE = 256


@triton.jit
def all_three(x, out, SIZE: tl.constexpr):
    """Write sigmoid, SiLU and tanh of x (SIZE,) to out (3, SIZE)."""
    at = tl.arange(0, SIZE)
    value = tl.load(x + at)
    tl.store(out + at, sigmoid(value))
    tl.store(out + SIZE + at, silu(value))
    tl.store(out + 2 * SIZE + at, tanh(value))


def found(x: Tensor) -> Tensor:
    out = torch.full((3, SIZE), math.nan, device=DEVICE)
    all_three[(1,)](x.to(DEVICE), out, SIZE=SIZE)
    return out.cpu()


def test_functions_equal_torchs_to_the_last_digits_of_float32() -> None:
    x = torch.linspace(-20, 20, SIZE)
    exact = x.double()
    expected = torch.stack([exact.sigmoid(), torch.nn.functional.silu(exact), exact.tanh()]).float()
    torch.testing.assert_close(found(x), expected, rtol=5e-6, atol=2e-7)


@pytest.mark.filterwarnings(
    "ignore:(overflow|invalid value) encountered:RuntimeWarning"
)  # from NumPy in the interpreter
@pytest.mark.parametrize("far", [100.0, 1e30, math.inf])
def test_functions_reach_their_limits_far_from_zero(far: float) -> None:
    high, low = found(torch.full((SIZE,), far)), found(torch.full((SIZE,), -far))
    assert (high[0] == 1.0).all()
    assert (high[2] == 1.0).all()
    assert (low[0] < 1e-37).all()
    assert (low[2] == -1.0).all()


def test_nan_stays_nan() -> None:
    assert found(torch.full((SIZE,), math.nan)).isnan().all()
