"""Symlog, two-hot regression, categoricals and lambda returns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.algorithms.dreamerv3.maths import (
    categorical_kl,
    lambda_return,
    symexp,
    symlog,
    two_hot_bins,
    two_hot_loss,
    two_hot_mean,
    unimix_probabilities,
)

BINS = two_hot_bins()


@given(st.floats(-1e6, 1e6))
def test_symexp_inverts_symlog(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    assert symexp(symlog(value)).item() == pytest.approx(x, rel=1e-9, abs=1e-9)


def test_bins_are_antisymmetric_up_to_symexp_of_20() -> None:
    assert torch.equal(BINS, -BINS.flip(0))
    assert BINS[127] == 0.0
    assert BINS[-1].item() == pytest.approx(4.85165194e8, rel=1e-6)


def test_uniform_logits_have_a_mean_of_exactly_zero() -> None:
    assert two_hot_mean(torch.zeros(3, 255), BINS).tolist() == [0.0, 0.0, 0.0]


@given(st.floats(-1e5, 1e5))
def test_mean_of_the_two_hot_encoding_is_its_target(x: float) -> None:
    """The gradient of the loss is softmax(logits) - encoding, which gives the encoding."""
    logits = torch.zeros(1, 255, dtype=torch.float64, requires_grad=True)
    bins = two_hot_bins(dtype=torch.float64)
    two_hot_loss(logits, torch.tensor([x], dtype=torch.float64), bins).sum().backward()
    assert logits.grad is not None
    target = torch.softmax(logits.detach(), -1) - logits.grad
    assert int((target > 1e-12).sum()) <= 2
    assert (target * bins).sum().item() == pytest.approx(x, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("target", [1e12, -1e12])
def test_targets_beyond_the_bins_are_clipped_to_the_last_one(target: float) -> None:
    logits = torch.zeros(1, 255)
    logits[0, -1 if target > 0 else 0] = 50.0
    assert two_hot_loss(logits, torch.tensor([target]), BINS).item() == pytest.approx(0.0, abs=1e-6)


def test_unimix_adds_one_percent_of_the_uniform_distribution() -> None:
    probabilities = unimix_probabilities(torch.tensor([1000.0, 0.0, 0.0, 0.0]))
    assert probabilities.tolist() == pytest.approx([0.9925, 0.0025, 0.0025, 0.0025])


def test_divergence_from_itself_is_zero() -> None:
    probabilities = unimix_probabilities(torch.randn(2, 3, 4))
    assert categorical_kl(probabilities, probabilities).tolist() == [0.0, 0.0]


def test_lambda_zero_gives_one_step_returns() -> None:
    reward, value = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[9.0, 10.0, 20.0]])
    returns = lambda_return(torch.zeros(1, 3), torch.zeros(1, 3), reward, value, discount=0.5, gae_lambda=0.0)
    assert returns.tolist() == [[1.0 + 5.0, 2.0 + 10.0]]


def test_lambda_one_gives_the_discounted_sum() -> None:
    reward, value = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[9.0, 10.0, 20.0]])
    returns = lambda_return(torch.zeros(1, 3), torch.zeros(1, 3), reward, value, discount=0.5, gae_lambda=1.0)
    assert returns.tolist() == [[1.0 + 0.5 * (2.0 + 0.5 * 20.0), 2.0 + 0.5 * 20.0]]


def test_return_ends_at_a_terminal_step() -> None:
    reward, value = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[9.0, 10.0, 20.0]])
    returns = lambda_return(
        torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 0.0]]), reward, value, discount=1.0, gae_lambda=0.95
    )
    assert returns[0, 0].item() == 1.0


def test_cut_sequence_bootstraps_from_its_last_state() -> None:
    reward, value = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[9.0, 10.0, 20.0]])
    returns = lambda_return(
        torch.tensor([[0.0, 1.0, 0.0]]), torch.zeros(1, 3), reward, value, discount=1.0, gae_lambda=0.95
    )
    assert returns[0, 0].item() == 1.0 + 10.0
