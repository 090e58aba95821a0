"""Metrics of an evaluation."""

import pytest

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode
from dreamer_exp.evaluation.metrics import evaluation_row, rates_by_scenario
from dreamer_exp.rundir.metric_names import BASELINE, TRAINED
from dreamer_exp.rundir.rates import wilson_interval


def driven(*seeds: int) -> EpisodeList:
    """Return the list of episodes with these seeds."""
    return EpisodeList(tuple(map(EvaluationEpisode, seeds)), "chosen by hand")


def ended(scenario: str | None, *outcomes: str | None) -> list[EpisodeResult]:
    return [EpisodeResult(0.0, 1, outcome=outcome, scenario=scenario) for outcome in outcomes]


def test_a_row_holds_rates_and_every_episode() -> None:
    results = [EpisodeResult(5.0, 10, outcome="success"), EpisodeResult(1.0, 20, outcome="wall_collision")]
    row = evaluation_row("dreamerv3", TRAINED, 512, 8, results, driven(7, 8))
    assert (row["success_rate"], row["wall_collision_rate"], row["timeout_rate"]) == (0.5, 0.5, 0.0)
    assert row["return_mean"] == 3.0
    assert [(episode["seed"], episode["outcome"]) for episode in row["outcomes"]] == [
        (7, "success"),
        (8, "wall_collision"),
    ]


def test_each_rate_has_an_interval() -> None:
    outcomes = ("success", "pedestrian_collision", "wall_collision", "robot_collision", "timeout")
    row = evaluation_row(
        "p", TRAINED, 0, 0, [EpisodeResult(0.0, 1, outcome=outcome) for outcome in outcomes], driven(1, 2, 3, 4, 5)
    )
    assert all(row[f"{kind}_interval_95"] == wilson_interval(1, 5) for kind in outcomes)
    assert row["collision_interval_95"] == wilson_interval(3, 5)


def test_spl_weights_successes_by_path_and_time_covers_only_successes() -> None:
    results = [
        EpisodeResult(0.0, 1, outcome="success", path_length=20.0, route_length=10.0, time_s=8.0),
        EpisodeResult(0.0, 1, outcome="success", path_length=10.0, route_length=10.0, time_s=4.0),
        EpisodeResult(0.0, 1, outcome="timeout", path_length=10.0, route_length=10.0, time_s=40.0),
    ]
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, results, driven(1, 2, 3))
    assert (row["spl"], row["time_to_goal_s_mean"]) == ((0.5 + 1.0 + 0.0) / 3, 6.0)


def test_a_row_has_a_version_and_the_choice_of_its_episodes() -> None:
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, ended(None, "success"), driven(7))
    assert (row["format"], row["episodes_chosen"]) == (3, "chosen by hand")


def test_each_scenario_has_rates_and_intervals_of_its_own() -> None:
    rates = rates_by_scenario([*ended("door", "success", "timeout"), *ended("hall", "success")])
    assert rates["door"]["episodes"] == 2
    assert (rates["door"]["success_rate"], rates["door"]["timeout_rate"], rates["hall"]["success_rate"]) == (
        0.5,
        0.5,
        1,
    )
    assert rates["door"]["success_interval_95"] == wilson_interval(1, 2)


def test_the_scenario_with_the_fewest_successes_and_most_collisions_is_first() -> None:
    results = [
        *ended("easy", "success", "success"),
        *ended("slow", "success", "timeout"),
        *ended("risky", "success", "wall_collision"),
        *ended("hopeless", "timeout", "timeout"),
    ]
    assert list(rates_by_scenario(results)) == ["hopeless", "risky", "slow", "easy"]


@pytest.mark.parametrize("results", [ended(None, "success"), ended("door", None)])
def test_without_scenarios_or_outcomes_there_are_no_rates_by_scenario(results: list[EpisodeResult]) -> None:
    assert rates_by_scenario(results) == {}


def test_a_scenario_without_any_outcome_has_no_rates() -> None:
    assert list(rates_by_scenario([*ended("hall", "success"), *ended("door", None)])) == ["hall"]


def test_clearance_covers_episodes_with_pedestrians() -> None:
    results = [EpisodeResult(0.0, 1, outcome="success", min_clearance=metres) for metres in (0.5, None, 1.5)]
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, results, driven(1, 2, 3))
    assert (row["min_clearance_m_mean"], row["min_clearance_m_min"]) == (1.0, 0.5)


def test_episode_that_ends_by_a_fault_is_not_a_success() -> None:
    results = [EpisodeResult(5.0, 10, outcome="success"), EpisodeResult(1.0, 3, outcome="fault")]
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, results, driven(1, 2))
    assert (row["success_rate"], row["timeout_rate"], row["faults"]) == (0.5, 0.0, 1)


def test_a_fault_adds_no_rates_to_a_task_without_outcomes() -> None:
    results = [EpisodeResult(5.0, 10), EpisodeResult(1.0, 3, outcome="fault")]
    assert evaluation_row("dreamerv3", TRAINED, 0, 0, results, driven(1, 2))["success_rate"] is None


def test_metrics_that_a_task_lacks_are_null() -> None:
    row = evaluation_row("random", BASELINE, 0, 0, [EpisodeResult(5.0, 10)], driven(7))
    missing = [name for name, value in row.items() if value is None]
    assert row["return_mean"] == 5.0
    assert {"success_rate", "success_interval_95", "timeout_interval_95", "spl"} < set(missing)
    assert {"time_to_goal_s_mean", "min_clearance_m_mean", "min_clearance_m_min"} < set(missing)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_intervals_equal_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """The last row is R. G. Newcombe's example (Statistics in Medicine 17:857, 1998, table I)."""
    assert wilson_interval(successes, trials) == pytest.approx([low, high], abs=1e-4)


def test_the_interval_of_a_rate_of_0_or_1_ends_there_exactly() -> None:
    assert [(wilson_interval(0, n) or [1])[0] for n in range(1, 30)] == [0.0] * 29
    assert [(wilson_interval(n, n) or [0])[-1] for n in range(1, 30)] == [1.0] * 29


def test_a_fault_counts_as_a_failure_of_its_scenario() -> None:
    rates = rates_by_scenario([*ended("hall", "success"), *ended("door", "fault", "fault")])
    assert {name: of_one["success_rate"] for name, of_one in rates.items()} == {"door": 0.0, "hall": 1.0}
