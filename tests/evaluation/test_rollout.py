"""Episodes on fixed seeds."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamer_exp.envs.contract import Fault
from dreamer_exp.evaluation.baselines import evaluate_baseline
from dreamer_exp.evaluation.rollout import Stopped, evaluate_policy
from tests.experiments import nano, nano_gym
from tests.training import odd_envs  # noqa: F401  # registers Careless


class Noisy:
    """Policy that draws its actions from torch's global generator."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return torch.rand(self.num_envs, 2).numpy()


def global_generators() -> tuple[Any, ...]:
    numbers = str(np.random.get_state())  # noqa: NPY002
    return random.getstate(), numbers, torch.get_rng_state().tolist()


class Still:
    """Policy that never moves."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        assert observations.shape == (self.num_envs, 831)
        return np.zeros((self.num_envs, 2), np.float32)


def test_a_policy_is_evaluated_on_every_seed_in_order() -> None:
    results = evaluate_policy(nano("evaluation.episodes=3"), Still)
    assert [(result.outcome, result.length) for result in results] == [("timeout", 20)] * 3
    assert [result.seed for result in results] == [1_000_000, 1_000_001, 1_000_002]


def test_an_evaluation_is_reproducible() -> None:
    experiment = nano("env.scenario=crossing", "env.max_steps=50")
    assert evaluate_policy(experiment, Still) == evaluate_policy(experiment, Still)


def test_more_episodes_than_fit_into_a_batch_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.evaluation.rollout.MAX_PARALLEL", 2)
    assert len(evaluate_policy(nano("evaluation.episodes=5", "env.max_steps=3"), Still)) == 5


def test_the_shortest_path_of_every_episode_is_measured() -> None:
    result, *_ = evaluate_baseline(nano("env.max_steps=400"), "straight_to_goal")
    assert result.shortest_path_length == pytest.approx(result.route_length - 2.0)  # one waypoint, no walls between
    assert result.spl is not None
    assert 0.9 < result.spl < 1.0


def test_straight_to_goal_reaches_the_goal_in_an_empty_arena() -> None:
    experiment = nano("env.max_steps=400", "evaluation.episodes=5")
    assert [result.outcome for result in evaluate_baseline(experiment, "straight_to_goal")] == ["success"] * 5


def test_the_random_baseline_acts_in_discrete_tasks() -> None:
    assert len(evaluate_baseline(nano_gym("CartPole-v1"), "random")) == 2


def test_an_evaluation_does_not_change_the_global_generators() -> None:
    before = global_generators()
    evaluate_policy(nano_gym("Careless-v0"), Noisy)
    evaluate_baseline(nano_gym("Careless-v0"), "random")
    assert global_generators() == before


def test_an_interrupted_evaluation_does_not_change_the_global_generators() -> None:
    before = global_generators()
    with pytest.raises(Stopped):
        evaluate_policy(nano_gym("Careless-v0"), Noisy, should_stop=iter([False, False, True]).__next__)
    assert global_generators() == before


def test_an_evaluation_does_not_depend_on_the_global_generators() -> None:
    first = evaluate_policy(nano_gym("Careless-v0"), Noisy)
    random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
    assert evaluate_policy(nano_gym("Careless-v0"), Noisy) == first


def test_a_watch_is_called_from_reset_to_last_step() -> None:
    seen: list[int] = []
    experiment = nano("evaluation.episodes=2", "evaluation.seed=7")
    lengths = [
        result.length
        for result in evaluate_policy(experiment, Still, watch=lambda episode, env: seen.append(episode.seed))
    ]
    assert [seen.count(seed) for seed in (7, 8)] == [length + 1 for length in lengths]


def test_a_fault_ends_only_its_episode() -> None:
    results = evaluate_policy(nano_gym("Broken-v0"), Noisy)
    assert [(result.outcome, result.episode_return, result.length) for result in results] == [("fault", 2.0, 3)] * 2


def test_a_fault_ends_only_its_episode_of_a_baseline() -> None:
    results = evaluate_baseline(nano_gym("Broken-v0"), "random")
    assert [(result.outcome, result.episode_return, result.length) for result in results] == [("fault", 2.0, 3)] * 2


def test_a_fault_beyond_the_limit_fails_the_evaluation() -> None:
    with pytest.raises(Fault, match="reward is nan"):
        evaluate_policy(nano_gym("Broken-v0", "env.max_faults=0"), Noisy)


def test_an_evaluation_can_be_interrupted() -> None:
    with pytest.raises(Stopped):
        evaluate_policy(nano(), Still, should_stop=lambda: True)
