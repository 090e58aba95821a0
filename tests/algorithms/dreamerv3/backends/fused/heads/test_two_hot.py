"""Two-hot kernels against maths.two_hot_mean and maths.two_hot_loss, and the gradient against autograd."""

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3 import maths
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.two_hot import two_hot_loss, two_hot_mean
from dreamer_exp.algorithms.dreamerv3.maths import two_hot_bins
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

N = 7
BINS = two_hot_bins(DEVICE)
EXACT_BINS = BINS.double()


def make_raw() -> tuple[Tensor, Tensor]:
    """Return rows at a stride of 256, and a bias that prefers moderate values, as in a trained head."""
    torch.manual_seed(1)
    bias = 0.1 * torch.randn(255) - torch.linspace(-20.0, 20.0, 255).abs()
    return torch.randn(N, 256).to(DEVICE)[:, :255], bias.to(DEVICE)


def make_targets() -> Tensor:
    """Return targets (N, 2): between bins, on a bin, zero, and beyond both ends."""
    targets = torch.linspace(-30.0, 50.0, 2 * N).view(N, 2)
    targets[0, 0], targets[1, 0], targets[2, 1] = 0.0, 1e12, -1e12
    targets[3, 0] = BINS[140]
    return targets.to(DEVICE)


def test_the_mean_equals_maths_two_hot_mean() -> None:
    raw, bias = make_raw()
    expected = maths.two_hot_mean(raw.double() + bias, EXACT_BINS)
    close(two_hot_mean(raw, bias, BINS), expected, 1e-5)  # the halves of the mean nearly cancel


def test_the_mean_of_uniform_logits_is_exactly_zero() -> None:
    raw = torch.full((3, 255), 0.3, device=DEVICE)
    assert two_hot_mean(raw, torch.full((255,), 0.1, device=DEVICE), BINS).tolist() == [0.0, 0.0, 0.0]


def test_the_mean_is_written_to_the_given_tensor() -> None:
    raw, bias = make_raw()
    out = torch.zeros(N + 2, device=DEVICE)
    two_hot_mean(raw, bias, BINS, out[1:-1])
    assert torch.equal(out[1:-1], two_hot_mean(raw, bias, BINS))
    assert out[[0, -1]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("count", [1, 2])
def test_losses_and_gradients_equal_maths_two_hot_loss(count: int) -> None:
    raw, bias = make_raw()
    targets, weight, scales = make_targets()[:, :count], torch.rand(N, device=DEVICE), [0.25, 0.5][:count]
    d_raw = torch.full_like(raw, torch.nan)
    found = two_hot_loss(raw, bias, BINS, targets.unbind(-1), scales, weight, d_raw)
    exact = raw.double().requires_grad_()
    expected = maths.two_hot_loss(exact + bias, targets.double(), EXACT_BINS)
    total = (weight[:, None] * expected * torch.tensor(scales, device=DEVICE)).sum()
    close(found, expected)
    close(d_raw, torch.autograd.grad(total, exact)[0])


def test_without_weights_the_gradient_is_that_of_the_mean() -> None:
    raw, bias = make_raw()
    target = make_targets()[:, 0]
    wide = torch.zeros(N, 256, dtype=torch.bfloat16, device=DEVICE)
    two_hot_loss(raw, bias, BINS, [target], [1.0 / N], None, wide[:, :255])
    exact = raw.double().requires_grad_()
    loss = maths.two_hot_loss(exact + bias, target.double(), EXACT_BINS).mean()
    close(wide[:, :255], torch.autograd.grad(loss, exact)[0], 0.005)
    assert not wide[:, 255].any()


def test_a_nan_target_gives_a_nan_loss_and_gradient() -> None:
    raw, bias = make_raw()
    target = torch.zeros(N, device=DEVICE)
    target[2] = torch.nan
    d_raw = torch.empty_like(raw)
    losses = two_hot_loss(raw, bias, BINS, [target], [1.0], None, d_raw)
    assert losses[:, 0].isnan().nonzero().flatten().tolist() == [2]
    assert d_raw.isnan().any(1).nonzero().flatten().tolist() == [2]
