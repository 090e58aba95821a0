"""Episodes on fixed seeds."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.runs.evaluation import (
    Stopped,
    evaluate_baseline,
    evaluate_policy,
    evaluation_row,
    evaluation_seeds,
    wilson_interval,
)
from tests.experiments import nano, nano_gym


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
    monkeypatch.setattr("dreamer_exp.runs.evaluation.MAX_PARALLEL", 2)
    assert len(evaluate_policy(nano("evaluation.episodes=5", "env.max_steps=3"), Still)) == 5


def test_straight_to_goal_reaches_the_goal_of_an_empty_arena() -> None:
    asked = nano("env.max_steps=400", "evaluation.episodes=5")
    assert [result.outcome for result in evaluate_baseline(asked, "straight_to_goal")] == ["success"] * 5


def test_the_random_baseline_acts_in_discrete_tasks_too() -> None:
    assert len(evaluate_baseline(nano_gym("CartPole-v1"), "random")) == 2


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


def test_a_task_without_outcomes_has_no_rates() -> None:
    row = evaluation_row("random", 0, 0, [EpisodeResult(5.0, 10)], seeds=[7])
    assert (row["success_rate"], row["success_interval_95"], row["return_mean"]) == (None, None, 5.0)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_equals_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """The last row is R. G. Newcombe's example (Statistics in Medicine 17:857, 1998, table I)."""
    assert wilson_interval(successes, trials) == pytest.approx([low, high], abs=1e-4)
