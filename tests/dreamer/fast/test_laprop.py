"""The optimiser, against its own equations in plain numbers."""

import copy
import math

import pytest
import torch

from dreamer_exp.dreamer.fast.laprop import LaProp


def moved(gradients: list[list[float]], start: list[float], **options: float) -> torch.Tensor:
    parameter = torch.tensor(start, dtype=torch.float64)
    optimiser = LaProp([parameter], **options)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
    return parameter


def test_it_follows_the_equations_of_the_paper() -> None:
    lr, beta1, beta2, gradients = 0.1, 0.9, 0.999, [0.3, -0.2, 0.5]
    weight, square, momentum = 2.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        square = beta2 * square + (1 - beta2) * gradient**2
        scaled = gradient / (math.sqrt(square / (1 - beta2**step)) + 1e-20)
        momentum = beta1 * momentum + (1 - beta1) * scaled
        weight -= lr * momentum / (1 - beta1**step)
    found = moved([[g] for g in gradients], [2.0], lr=lr, clip=1e9, warmup=0)
    assert found.item() == pytest.approx(weight, rel=1e-12)


def test_a_gradient_is_clipped_to_a_share_of_its_tensors_norm() -> None:
    """Seen in the second step: the first is normalised to 1 whatever its size."""
    clipped = moved([[0.1, 0.0], [100.0, 0.0]], [3.0, 4.0], lr=0.1, clip=0.3, warmup=0)
    by_hand = moved([[0.1, 0.0], [0.3 * math.hypot(2.9, 4.0), 0.0]], [3.0, 4.0], lr=0.1, clip=1e9, warmup=0)
    assert clipped.tolist() == pytest.approx(by_hand.tolist(), rel=1e-9)


def test_a_tensor_of_zeros_can_begin_to_move() -> None:
    assert moved([[1.0]], [0.0], lr=0.1, warmup=0).item() != 0.0


def test_the_rate_grows_over_the_warm_up() -> None:
    first = moved([[1.0]], [2.0], lr=0.1, warmup=10).item()
    assert 2.0 - first == pytest.approx(0.01)


def test_a_parameter_without_a_gradient_stays() -> None:
    parameter = torch.ones(2)
    LaProp([parameter]).step()
    assert parameter.tolist() == [1.0, 1.0]


def test_its_state_can_be_saved_and_loaded() -> None:
    first = torch.tensor([2.0])
    optimiser = LaProp([first], warmup=0)
    first.grad = torch.tensor([0.3])
    optimiser.step()
    second = first.clone()
    loaded = LaProp([second], warmup=0)
    loaded.load_state_dict(copy.deepcopy(optimiser.state_dict()))  # torch shares the tensors it is given
    for parameter, its in ((first, optimiser), (second, loaded)):
        parameter.grad = torch.tensor([-0.7])
        its.step()
    assert torch.equal(first, second)
