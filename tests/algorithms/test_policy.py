"""The policy of RLlib's network by itself: deterministic, batched, and without a trace in training's random streams."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.policy import DreamerPolicy
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.experiments import nano

pytestmark = pytest.mark.usefixtures("ray_local")

OBSERVATIONS = np.random.default_rng(0).random((4, 3, 831), np.float32)  # T=4 steps of B=3 environments


@pytest.fixture(scope="module")
def algorithm(ray_local: None) -> Iterator[BaseDreamerV3]:
    built = build_algorithm(nano("algo=dreamerv3_rllib"))
    yield built
    built.stop()


def act(algorithm: BaseDreamerV3, seed: int) -> np.ndarray:
    policy = DreamerPolicy(algorithm.env_runner.module, num_envs=3, seed=seed)
    return np.stack([policy.act(step) for step in OBSERVATIONS])


def test_actions_have_a_row_for_each_environment_and_are_in_the_bounds(algorithm: BaseDreamerV3) -> None:
    actions = act(algorithm, seed=1)
    assert actions.shape == (4, 3, 2)
    assert np.abs(actions).max() <= 1.0


def test_the_same_seed_gives_the_same_actions(algorithm: BaseDreamerV3) -> None:
    assert np.array_equal(act(algorithm, seed=1), act(algorithm, seed=1))


def test_acting_does_not_touch_torchs_global_generator(algorithm: BaseDreamerV3) -> None:
    before = torch.get_rng_state()
    act(algorithm, seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_action_depends_on_earlier_observations(algorithm: BaseDreamerV3) -> None:
    policy = DreamerPolicy(algorithm.env_runner.module, num_envs=3, seed=1)
    first, second = policy.act(OBSERVATIONS[0]), policy.act(OBSERVATIONS[0])
    assert not np.array_equal(first, second)
