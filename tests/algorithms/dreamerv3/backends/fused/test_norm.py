"""The norm's kernels equal layers.NormSiLU behind a bias, and its gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused import norm
from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu, norm_silu_backward
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON, NormSiLU
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

SHAPES = [(5, 24), (37, 64), (3, 3072)]


class Case:
    """A raw product that is columns of a wider tensor, a bias and a scale, and what autograd makes of them."""

    def __init__(self, rows: int, width: int) -> None:
        torch.manual_seed(1)
        self.pre = torch.randn(rows, width + 8, device=DEVICE)[:, 4 : width + 4]
        self.bias, self.scale, self.d_out = torch.randn(width), 1.0 + 0.3 * torch.randn(width), torch.randn(rows, width)
        self.bias, self.scale, self.d_out = self.bias.to(DEVICE), self.scale.to(DEVICE), self.d_out.to(DEVICE)
        layer = NormSiLU(width).to(DEVICE).double()
        with torch.no_grad():
            layer.scale.copy_(self.scale)
        pre, bias = self.pre.double().requires_grad_(), self.bias.double().requires_grad_()
        self.wanted = layer(pre + bias)
        self.gradients = torch.autograd.grad(self.wanted, [pre, layer.scale, bias], self.d_out.double())

    def like(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(self.pre.shape, torch.nan, dtype=dtype, device=DEVICE)


@pytest.fixture(params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_units_are_the_layers(case: Case) -> None:
    out = case.like()
    norm_silu(case.pre, case.bias, case.scale, out)
    close(out, case.wanted)


def test_units_are_rounded_to_the_operand_and_may_be_columns(case: Case) -> None:
    rows, width = case.pre.shape
    wide = torch.zeros(rows, width + 16, dtype=torch.bfloat16, device=DEVICE)
    norm_silu(case.pre, case.bias, case.scale, wide[:, 8 : width + 8])
    close(wide[:, 8 : width + 8], case.wanted, 0.005)
    assert not wide[:, :8].any()
    assert not wide[:, width + 8 :].any()


def test_what_a_scan_needs_beside_the_units(case: Case) -> None:
    out, normed, slope = case.like(), case.like(), case.like()
    inverse = out.new_empty(len(out))
    norm_silu(case.pre, case.bias, case.scale, out, normed=normed, slope=slope, inverse=inverse)
    x = case.pre.double() + case.bias
    r = (x.square().mean(-1) + RMS_EPSILON).rsqrt()
    scaled = (x * r[:, None] * case.scale).requires_grad_()
    (to_scaled,) = torch.autograd.grad(torch.nn.functional.silu(scaled).sum(), scaled)
    close(out, case.wanted)
    close(inverse, r)
    close(normed, x * r[:, None])
    close(slope, to_scaled * case.scale)


def test_the_gradient_is_autograds(case: Case) -> None:
    d_pre, d_scale, d_bias = case.like(), torch.empty_like(case.scale), torch.empty_like(case.bias)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, d_scale, d_bias)
    for found, wanted in zip((d_pre, d_scale, d_bias), case.gradients, strict=True):
        close(found, wanted)


def test_the_gradient_without_the_parameters(case: Case) -> None:
    d_pre = case.like()
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, None, None)
    close(d_pre, case.gradients[0])


def test_programs_that_take_several_row_tiles_leave_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm, "MOST_PROGRAMS", 2)
    monkeypatch.setattr(norm, "NUMBERS", 64)
    case = Case(11, 24)
    d_pre, d_scale, d_bias = case.like(), torch.empty_like(case.scale), torch.empty_like(case.bias)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, d_scale, d_bias)
    for found, wanted in zip((d_pre, d_scale, d_bias), case.gradients, strict=True):
        close(found, wanted)


def test_the_gradient_may_be_columns_of_another_dtype() -> None:
    case = Case(5, 24)
    wide = torch.zeros(5, 40, dtype=torch.bfloat16, device=DEVICE)
    sums: Any = torch.empty(2, 24, device=DEVICE)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, wide[:, 8:32], *sums)
    close(wide[:, 8:32], case.gradients[0], 0.005)
    close(sums[1], case.gradients[2])  # summed before it is rounded
    assert not wide[:, :8].any()
    assert not wide[:, 32:].any()
