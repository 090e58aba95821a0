"""Losses and gradients of decoder and continue head against torch's."""

import pytest
import torch
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.regression import continue_loss, squared_error
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

SCALE = 0.7


@pytest.mark.parametrize(("rows", "width"), [(5, 7), (40, 24), (3, 1500)])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_is_summed_over_columns_and_has_the_gradient_of_its_mean(
    rows: int, width: int, weighted: bool
) -> None:
    torch.manual_seed(1)
    raw, target = torch.randn(2, rows, width + 3).to(DEVICE)[..., 1 : width + 1]
    bias = torch.randn(width).to(DEVICE)
    weights = torch.rand(width).to(DEVICE) if weighted else None
    wide = torch.zeros(rows, width + 5, device=DEVICE)
    found = squared_error(raw, bias, target, weights, SCALE, wide[:, :width])
    exact = raw.double().requires_grad_()
    squares = (exact + bias - target).square()
    optimised = (squares if weights is None else squares * weights).sum(-1)
    assert len(found) == (2 if weighted else 1)
    close(found[0], squares.sum(-1))
    close(found[-1], optimised)
    close(wide[:, :width], torch.autograd.grad(SCALE * optimised.mean(), exact)[0])
    assert not wide[:, width:].any()


def test_the_continue_loss_and_its_gradient_equal_torchs() -> None:
    torch.manual_seed(1)
    rows = 150
    raw, bias = 5.0 * torch.randn(rows, 4).to(DEVICE)[:, 2:3], torch.full((1,), 0.3, device=DEVICE)
    target = 0.997 * (torch.rand(rows) < 0.8).float().to(DEVICE)
    d_raw = torch.full((rows, 1), torch.nan, device=DEVICE)
    found = continue_loss(raw, bias, target, SCALE, d_raw)
    exact = raw.double().requires_grad_()
    loss = functional.binary_cross_entropy_with_logits((exact + bias)[:, 0], target.double(), reduction="none")
    close(found, loss)
    close(d_raw, torch.autograd.grad(SCALE * loss.mean(), exact)[0])


@pytest.mark.filterwarnings("ignore:overflow")  # in the interpreter's sigmoid
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_the_continue_loss_of_extreme_logits_is_finite(logit: float) -> None:
    raw, bias = torch.full((1, 1), logit, device=DEVICE), torch.zeros(1, device=DEVICE)
    found = continue_loss(raw, bias, torch.full((1,), 0.5, device=DEVICE), 1.0, torch.empty_like(raw))
    assert found.item() == pytest.approx(100.0)
