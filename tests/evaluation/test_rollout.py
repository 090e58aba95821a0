"""Episodes on fixed seeds."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamer_exp.envs.contract import Fault
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.rollout import Stopped, evaluate_baseline, evaluate_policy, evaluation_row, evaluation_seeds
from dreamer_exp.rundir.rates import wilson_interval
from tests.experiments import nano, nano_gym
from tests.training import odd_envs  # noqa: F401  # registers Careless


class Noisy:
    """Acts as torch's generator says."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        return torch.rand(self.num_envs, 2).numpy()


def global_streams() -> tuple[Any, ...]:
    numbers = str(np.random.get_state())  # noqa: NPY002
    return random.getstate(), numbers, torch.get_rng_state().tolist()


class Still:
    """Never moves."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs

    def act(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        assert observations.shape == (self.num_envs, 831)
        return np.zeros((self.num_envs, 2), np.float32)


def test_each_episode_has_a_seed_of_its_own() -> None:
    assert evaluation_seeds(nano("evaluation.episodes=3", "evaluation.seed=7")) == [7, 8, 9]


def test_a_policy_is_judged_on_every_seed_in_order() -> None:
    results = evaluate_policy(nano("evaluation.episodes=3"), Still)
    assert [(result.outcome, result.length) for result in results] == [("timeout", 20)] * 3
    assert [result.seed for result in results] == [1_000_000, 1_000_001, 1_000_002]


def test_the_same_policy_is_judged_the_same_twice() -> None:
    asked = nano("env.scenario=crossing", "env.max_steps=50")
    assert evaluate_policy(asked, Still) == evaluate_policy(asked, Still)


def test_more_episodes_than_fit_side_by_side_are_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.evaluation.rollout.MAX_PARALLEL", 2)
    assert len(evaluate_policy(nano("evaluation.episodes=5", "env.max_steps=3"), Still)) == 5


def test_straight_to_goal_reaches_the_goal_of_an_empty_arena() -> None:
    asked = nano("env.max_steps=400", "evaluation.episodes=5")
    assert [result.outcome for result in evaluate_baseline(asked, "straight_to_goal")] == ["success"] * 5


def test_the_random_baseline_acts_in_discrete_tasks_too() -> None:
    assert len(evaluate_baseline(nano_gym("CartPole-v1"), "random")) == 2


def test_an_evaluation_leaves_trainings_random_streams_as_they_were() -> None:
    before = global_streams()
    evaluate_policy(nano_gym("Careless-v0"), Noisy)
    evaluate_baseline(nano_gym("Careless-v0"), "random")
    assert global_streams() == before


def test_random_streams_are_left_as_they_were_by_an_evaluation_that_fails() -> None:
    before = global_streams()
    with pytest.raises(Stopped):
        evaluate_policy(nano_gym("Careless-v0"), Noisy, should_stop=iter([False, False, True]).__next__)
    assert global_streams() == before


def test_what_draws_from_trainings_random_streams_is_judged_the_same_all_the_same() -> None:
    first = evaluate_policy(nano_gym("Careless-v0"), Noisy)
    random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002
    assert evaluate_policy(nano_gym("Careless-v0"), Noisy) == first


def test_a_watch_sees_every_episode_from_its_reset_to_its_last_step() -> None:
    seen: list[int] = []
    asked = nano("evaluation.episodes=2", "evaluation.seed=7")
    lengths = [result.length for result in evaluate_policy(asked, Still, watch=lambda seed, env: seen.append(seed))]
    assert [seen.count(seed) for seed in (7, 8)] == [length + 1 for length in lengths]


def test_a_fault_of_the_environment_ends_its_episode_alone() -> None:
    results = evaluate_policy(nano_gym("Broken-v0"), Noisy)
    assert [(result.outcome, result.episode_return, result.length) for result in results] == [("fault", 2.0, 3)] * 2


def test_a_fault_ends_a_baselines_episode_alone() -> None:
    results = evaluate_baseline(nano_gym("Broken-v0"), "random")
    assert [(result.outcome, result.episode_return, result.length) for result in results] == [("fault", 2.0, 3)] * 2


def test_a_fault_past_the_limit_fails_the_evaluation() -> None:
    with pytest.raises(Fault, match="reward is nan"):
        evaluate_policy(nano_gym("Broken-v0", "env.max_faults=0"), Noisy)


def test_an_evaluation_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        evaluate_policy(nano(), Still, should_stop=lambda: True)


def test_a_row_tells_rates_interval_and_every_episode() -> None:
    results = [EpisodeResult(5.0, 10, outcome="success"), EpisodeResult(1.0, 20, outcome="wall_collision")]
    row = evaluation_row("dreamerv3", 512, 8, results, seeds=[7, 8])
    assert (row["success_rate"], row["wall_collision_rate"], row["timeout_rate"]) == (0.5, 0.5, 0.0)
    assert row["return_mean"] == 3.0
    assert [(episode["seed"], episode["outcome"]) for episode in row["outcomes"]] == [
        (7, "success"),
        (8, "wall_collision"),
    ]


def test_each_rate_has_its_interval() -> None:
    outcomes = ("success", "pedestrian_collision", "wall_collision", "robot_collision", "timeout")
    row = evaluation_row("p", 0, 0, [EpisodeResult(0.0, 1, outcome=outcome) for outcome in outcomes], [1, 2, 3, 4, 5])
    assert all(row[f"{kind}_interval_95"] == wilson_interval(1, 5) for kind in outcomes)
    assert row["collision_interval_95"] == wilson_interval(3, 5)


def test_spl_weighs_successes_by_their_paths_and_time_is_that_of_successes_alone() -> None:
    results = [
        EpisodeResult(0.0, 1, outcome="success", path_length=20.0, route_length=10.0, time_s=8.0),
        EpisodeResult(0.0, 1, outcome="success", path_length=10.0, route_length=10.0, time_s=4.0),
        EpisodeResult(0.0, 1, outcome="timeout", path_length=10.0, route_length=10.0, time_s=40.0),
    ]
    row = evaluation_row("dreamerv3", 0, 0, results, seeds=[1, 2, 3])
    assert (row["spl"], row["time_to_goal_s_mean"]) == ((0.5 + 1.0 + 0.0) / 3, 6.0)


def test_clearance_is_over_episodes_with_pedestrians() -> None:
    results = [EpisodeResult(0.0, 1, outcome="success", min_clearance=metres) for metres in (0.5, None, 1.5)]
    row = evaluation_row("dreamerv3", 0, 0, results, seeds=[1, 2, 3])
    assert (row["min_clearance_m_mean"], row["min_clearance_m_min"]) == (1.0, 0.5)


def test_an_episode_cut_off_by_a_fault_is_no_success() -> None:
    results = [EpisodeResult(5.0, 10, outcome="success"), EpisodeResult(1.0, 3, outcome="fault")]
    row = evaluation_row("dreamerv3", 0, 0, results, seeds=[1, 2])
    assert (row["success_rate"], row["timeout_rate"], row["faults"]) == (0.5, 0.0, 1)


def test_a_fault_gives_no_rates_to_a_task_that_has_none() -> None:
    results = [EpisodeResult(5.0, 10), EpisodeResult(1.0, 3, outcome="fault")]
    assert evaluation_row("dreamerv3", 0, 0, results, seeds=[1, 2])["success_rate"] is None


def test_what_a_task_does_not_tell_is_null() -> None:
    row = evaluation_row("random", 0, 0, [EpisodeResult(5.0, 10)], seeds=[7])
    untold = [name for name, value in row.items() if value is None]
    assert row["return_mean"] == 5.0
    assert {"success_rate", "success_interval_95", "timeout_interval_95", "spl"} < set(untold)
    assert {"time_to_goal_s_mean", "min_clearance_m_mean", "min_clearance_m_min"} < set(untold)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_equals_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """The last row is R. G. Newcombe's example (Statistics in Medicine 17:857, 1998, table I)."""
    assert wilson_interval(successes, trials) == pytest.approx([low, high], abs=1e-4)
