"""Sigmoid and what is made of it against torch's, with the values that a short cut would miss."""

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
    """out (3, SIZE) of x (SIZE,)."""
    at = tl.arange(0, SIZE)
    value = tl.load(x + at)
    tl.store(out + at, sigmoid(value))
    tl.store(out + SIZE + at, silu(value))
    tl.store(out + 2 * SIZE + at, tanh(value))


def found(x: Tensor) -> Tensor:
    out = torch.full((3, SIZE), math.nan, device=DEVICE)
    all_three[(1,)](x.to(DEVICE), out, SIZE=SIZE)
    return out.cpu()


def test_they_are_torchs_to_float32s_last_digits() -> None:
    x = torch.linspace(-20, 20, SIZE)
    exact = x.double()
    wanted = torch.stack([exact.sigmoid(), torch.nn.functional.silu(exact), exact.tanh()]).float()
    torch.testing.assert_close(found(x), wanted, rtol=5e-6, atol=2e-7)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")  # of the interpreter's NumPy
@pytest.mark.parametrize("far", [100.0, 1e30, math.inf])
def test_far_from_zero_they_are_their_limits(far: float) -> None:
    high, low = found(torch.full((SIZE,), far)), found(torch.full((SIZE,), -far))
    assert (high[0] == 1.0).all()
    assert (high[2] == 1.0).all()
    assert (low[0] < 1e-37).all()
    assert (low[2] == -1.0).all()


def test_what_is_no_number_stays_none() -> None:
    assert found(torch.full((SIZE,), math.nan)).isnan().all()
