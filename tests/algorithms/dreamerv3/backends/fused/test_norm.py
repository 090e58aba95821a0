"""Kernels of the norm against layers.NormSiLU after a bias, and its gradient."""

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
    """A product in columns of a wider tensor, a bias and a scale, and autograd's results for them."""

    def __init__(self, rows: int, width: int) -> None:
        torch.manual_seed(1)
        self.pre = torch.randn(rows, width + 8, device=DEVICE)[:, 4 : width + 4]
        self.bias, self.scale, self.d_out = torch.randn(width), 1.0 + 0.3 * torch.randn(width), torch.randn(rows, width)
        self.bias, self.scale, self.d_out = self.bias.to(DEVICE), self.scale.to(DEVICE), self.d_out.to(DEVICE)
        layer = NormSiLU(width).to(DEVICE).double()
        with torch.no_grad():
            layer.scale.copy_(self.scale)
        pre, bias = self.pre.double().requires_grad_(), self.bias.double().requires_grad_()
        self.expected = layer(pre + bias)
        self.gradients = torch.autograd.grad(self.expected, [pre, layer.scale, bias], self.d_out.double())

    def like(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full(self.pre.shape, torch.nan, dtype=dtype, device=DEVICE)


@pytest.fixture(params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_units_equal_the_layers(case: Case) -> None:
    out = case.like()
    norm_silu(case.pre, case.bias, case.scale, out)
    close(out, case.expected)


def test_units_can_be_written_to_columns_of_another_dtype(case: Case) -> None:
    rows, width = case.pre.shape
    wide = torch.zeros(rows, width + 16, dtype=torch.bfloat16, device=DEVICE)
    norm_silu(case.pre, case.bias, case.scale, wide[:, 8 : width + 8])
    close(wide[:, 8 : width + 8], case.expected, 0.005)
    assert not wide[:, :8].any()
    assert not wide[:, width + 8 :].any()


def test_normed_input_slope_and_inverse_for_the_scan(case: Case) -> None:
    out, normed, slope = case.like(), case.like(), case.like()
    inverse = out.new_empty(len(out))
    norm_silu(case.pre, case.bias, case.scale, out, normed=normed, slope=slope, inverse=inverse)
    x = case.pre.double() + case.bias
    r = (x.square().mean(-1) + RMS_EPSILON).rsqrt()
    scaled = (x * r[:, None] * case.scale).requires_grad_()
    (to_scaled,) = torch.autograd.grad(torch.nn.functional.silu(scaled).sum(), scaled)
    close(out, case.expected)
    close(inverse, r)
    close(normed, x * r[:, None])
    close(slope, to_scaled * case.scale)


def test_the_gradient_equals_autograds(case: Case) -> None:
    d_pre, d_scale, d_bias = case.like(), torch.empty_like(case.scale), torch.empty_like(case.bias)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, d_scale, d_bias)
    for found, expected in zip((d_pre, d_scale, d_bias), case.gradients, strict=True):
        close(found, expected)


def test_the_gradient_of_the_product_alone(case: Case) -> None:
    d_pre = case.like()
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, None, None)
    close(d_pre, case.gradients[0])


def test_programs_that_take_several_row_tiles_cover_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norm, "MOST_PROGRAMS", 2)
    monkeypatch.setattr(norm, "ELEMENTS", 64)
    case = Case(11, 24)
    d_pre, d_scale, d_bias = case.like(), torch.empty_like(case.scale), torch.empty_like(case.bias)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, d_pre, d_scale, d_bias)
    for found, expected in zip((d_pre, d_scale, d_bias), case.gradients, strict=True):
        close(found, expected)


def test_the_gradient_can_be_written_to_columns_of_another_dtype() -> None:
    case = Case(5, 24)
    wide = torch.zeros(5, 40, dtype=torch.bfloat16, device=DEVICE)
    sums: Any = torch.empty(2, 24, device=DEVICE)
    norm_silu_backward(case.d_out, case.pre, case.bias, case.scale, wide[:, 8:32], *sums)
    close(wide[:, 8:32], case.gradients[0], 0.005)
    close(sums[1], case.gradients[2])  # summed before rounding
    assert not wide[:, :8].any()
    assert not wide[:, 32:].any()
