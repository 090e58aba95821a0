"""Optimiser: the equations of the paper, groups, and saved state."""

import copy
import math

import pytest
import torch
from ray.rllib.utils.numpy import convert_to_numpy
from ray.rllib.utils.torch_utils import convert_to_torch_tensor

from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp


def moved(gradients: list[list[float]], start: list[float], **options: float) -> torch.Tensor:
    parameter = torch.tensor(start, dtype=torch.float64)
    optimiser = LaProp([parameter], **options)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step()
    return parameter


def test_step_follows_the_equations_of_the_paper() -> None:
    lr, beta1, beta2, gradients = 0.1, 0.9, 0.999, [0.3, -0.2, 0.5]
    weight, square, momentum = 2.0, 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        square = beta2 * square + (1 - beta2) * gradient**2
        scaled = gradient / (math.sqrt(square / (1 - beta2**step)) + 1e-20)
        momentum = beta1 * momentum + (1 - beta1) * scaled
        weight -= lr * momentum / (1 - beta1**step)
    found = moved([[g] for g in gradients], [2.0], lr=lr, clip=1e9, warmup=0)
    assert found.item() == pytest.approx(weight, rel=1e-12)


def test_gradient_is_clipped_to_a_multiple_of_its_parameters_norm() -> None:
    """The second step shows it: the first one is normalised to 1 for any gradient."""
    clipped = moved([[0.1, 0.0], [100.0, 0.0]], [3.0, 4.0], lr=0.1, clip=0.3, warmup=0)
    by_hand = moved([[0.1, 0.0], [0.3 * math.hypot(2.9, 4.0), 0.0]], [3.0, 4.0], lr=0.1, clip=1e9, warmup=0)
    assert clipped.tolist() == pytest.approx(by_hand.tolist(), rel=1e-9)


def test_parameter_of_zeros_can_start_to_move() -> None:
    assert moved([[1.0]], [0.0], lr=0.1, warmup=0).item() != 0.0


def test_learning_rate_rises_during_warm_up() -> None:
    first = moved([[1.0]], [2.0], lr=0.1, warmup=10).item()
    assert 2.0 - first == pytest.approx(0.01)


@pytest.mark.parametrize(("made", "factor"), [(1, 1.0), (100, 1.0), (150, 0.55), (200, 0.1), (10_000, 0.1)])
def test_learning_rate_falls_linearly_to_a_tenth_where_it_remains(made: int, factor: float) -> None:
    optimiser = LaProp([torch.ones(1)], warmup=0, decay=(100, 200))
    rate, _ = optimiser._schedule(torch.tensor(float(made - 1)), torch.float64)
    constant, _ = LaProp([torch.ones(1)], warmup=0)._schedule(torch.tensor(float(made - 1)), torch.float64)
    assert float(rate / constant) == pytest.approx(factor)


def test_parameter_without_gradient_is_unchanged() -> None:
    parameter = torch.ones(2)
    LaProp([parameter]).step()
    assert parameter.tolist() == [1.0, 1.0]


def test_loaded_state_continues_as_the_saved_one() -> None:
    first = torch.tensor([2.0])
    optimiser = LaProp([first], warmup=0)
    first.grad = torch.tensor([0.3])
    optimiser.step()
    second = first.clone()
    loaded = LaProp([second], warmup=0)
    loaded.load_state_dict(copy.deepcopy(optimiser.state_dict()))  # torch does not copy the tensors
    for parameter, owner in ((first, optimiser), (second, loaded)):
        parameter.grad = torch.tensor([-0.7])
        owner.step()
    assert torch.equal(first, second)


def make(numbers: list[list[float]], **options: float) -> tuple[list[torch.Tensor], LaProp]:
    parameters = [torch.tensor(row) for row in numbers]
    groups = [{"params": [p], "lr": 0.1 * (i + 1), "name": f"part {i}"} for i, p in enumerate(parameters)]
    return parameters, LaProp(groups, **options)


def give(parameters: list[torch.Tensor], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_groups_have_separate_learning_rates() -> None:
    (first, second), optimiser = make([[1.0], [1.0]], warmup=0)
    first.grad, second.grad = torch.tensor([0.1]), torch.tensor([0.1])
    optimiser.step()
    assert (1 - second).item() == pytest.approx(2 * (1 - first).item(), rel=1e-5)


def test_norms_are_those_of_each_group_before_clipping() -> None:
    parameters, optimiser = make([[1.0, 1.0], [2.0]])
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([-7.0])
    optimiser.step()
    assert {name: norm.item() for name, norm in optimiser.norms.items()} == {"part 0": 5.0, "part 1": 7.0}


def test_state_saved_by_rllib_continues_bit_for_bit() -> None:
    """As in TorchLearner: everything is converted to numpy, and only the state back to tensors."""
    numbers = [[1.0, -2.0, 0.5], [3.0]]
    mine, optimiser = make(numbers, warmup=5)
    for seed in range(3):
        give(mine, seed)
        optimiser.step()
    saved = convert_to_numpy(optimiser.state_dict())
    theirs, restored = make(numbers, warmup=5)
    give(theirs, 99)
    restored.step()  # creates a state, which a captured graph would refer to
    held = {id(tensor) for state in restored.state.values() for tensor in state.values()}
    for parameter, value in zip(theirs, mine, strict=True):
        parameter.copy_(value)
    restored.load_state_dict({**saved, "state": convert_to_torch_tensor(saved["state"])})
    assert held == {id(tensor) for state in restored.state.values() for tensor in state.values()}
    for seed in range(3, 6):
        for parameters, owner in ((mine, optimiser), (theirs, restored)):
            give(parameters, seed)
            owner.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_step_updates_its_state_in_place() -> None:
    """A captured graph sees nothing else."""
    parameters, optimiser = make([[1.0]], warmup=5)
    give(parameters, 0)
    optimiser.step()
    before = {name: id(tensor) for name, tensor in optimiser.state[parameters[0]].items()}
    give(parameters, 1)
    optimiser.step()
    state = optimiser.state[parameters[0]]
    assert {name: id(tensor) for name, tensor in state.items()} == before
    assert state["step"].item() == 2.0
