"""One-hot latents: samples, and gathers that equal dense products."""

import torch

from dreamer_exp.algorithms.dreamerv3.networks.one_hot import (
    Feature,
    Transposed,
    feature_linear,
    gather_sum,
    one_hot,
    sample_rows,
)

N, S, C, D, O = 9, 3, 4, 5, 6  # noqa: E741  # letters of the glossary


def some_rows() -> torch.Tensor:
    return torch.randint(C, (N, S), generator=torch.Generator().manual_seed(0)) + torch.arange(S) * C


def test_samples_follow_the_probabilities() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2]]).expand(1000, 1, 3).contiguous()
    uniform = ((torch.arange(1000) + 0.5) / 1000)[:, None]
    counts = one_hot(sample_rows(probabilities, uniform), probabilities).sum(0)
    assert all(abs(found - wanted) <= 1 for found, wanted in zip(counts.tolist(), [500, 300, 200], strict=True))


def test_gradient_of_a_sample_goes_to_its_probabilities() -> None:
    probabilities = torch.tensor([[[0.5, 0.5]]], requires_grad=True)
    (
        one_hot(sample_rows(probabilities, torch.tensor([[0.2]])), probabilities) * torch.tensor([3.0, 7.0])
    ).sum().backward()
    assert probabilities.grad is not None
    assert probabilities.grad.tolist() == [[[3.0, 7.0]]]


def test_gathers_equal_dense_products() -> None:
    rows, table, gradient = some_rows(), torch.randn(S * C, O), torch.randn(N, O)
    dense = torch.zeros(N, S * C).scatter_(1, rows, 1.0)
    assert torch.allclose(gather_sum(rows, table), dense @ table, atol=1e-6)
    assert torch.allclose(Transposed(rows, S * C).gather_sum(gradient), dense.T @ gradient, atol=1e-6)


def test_feature_linear_and_its_gradients_equal_the_dense_layer() -> None:
    rows = some_rows()
    dense = torch.zeros(N, S * C).scatter_(1, rows, 1.0)
    arguments = [torch.randn(N, D), dense, torch.randn(O, D + S * C), torch.randn(O)]
    found = [argument.clone().requires_grad_() for argument in arguments]
    wanted = [argument.clone().requires_grad_() for argument in arguments]
    ours = feature_linear(Feature.of(found[0], rows, S * C, found[1]), found[2], found[3])
    theirs = torch.nn.functional.linear(torch.cat(wanted[:2], -1), wanted[2], wanted[3])
    assert torch.allclose(ours, theirs, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for mine, reference in zip(found, wanted, strict=True):
        assert mine.grad is not None
        assert torch.allclose(mine.grad, reference.grad, atol=1e-3)
