"""Names of metrics, values of runs, and curves of groups."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.compare.metrics import (
    counted,
    curve,
    is_share,
    lower_is_better,
    outcome,
    ranked,
    resolve,
    series,
    successes,
    time_to,
    with_unit,
)
from dreamer_exp.compare.model import Run
from dreamer_exp.config.errors import UserError
from dreamer_exp.evaluation.social import NAMES
from tests.compare.folders import evaluation, make_run

COLUMNS = ("env_steps", "episode_return_window", "loss/world_model")


# -------------------------------------------------------------------------------------------------------------- names


def run_with(*evaluations: dict[str, object]) -> Run:
    return replace(make_run(), columns=COLUMNS, evaluations=tuple(evaluations))


def test_default_metric_is_the_success_rate_of_the_policys_evaluations() -> None:
    assert resolve(None, [run_with(), run_with(evaluation(100, 3))]) == "evaluation/success_rate"


def test_default_metric_without_successes_is_the_return_of_the_evaluations() -> None:
    assert resolve(None, [run_with({**evaluation(100, 3), "success_rate": None})]) == "evaluation/return_mean"


def test_default_metric_without_evaluations_of_the_policy_is_the_return_of_the_window() -> None:
    assert resolve(None, [run_with(), run_with(evaluation(100, 3, policy="random"))]) == "episode_return_window"


def test_default_metric_ignores_the_evaluation_before_training() -> None:
    assert resolve(None, [run_with(evaluation(0, 3))]) == "episode_return_window"


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("loss/world_model", "loss/world_model"),
        ("return_mean", "evaluation/return_mean"),
        ("evaluation/return_mean", "evaluation/return_mean"),
        ("env_steps", "env_steps"),
        ("evaluation/env_steps", "evaluation/env_steps"),
    ],
)
def test_metric_is_a_column_of_the_rows_or_of_the_evaluations(name: str, resolved: str) -> None:
    assert resolve(name, [run_with(evaluation(0, 3))]) == resolved


@pytest.mark.parametrize(
    ("name", "suggestion"), [("loss/wrold_model", "loss/world_model"), ("sucess_rate", "success_rate")]
)
def test_misspelt_metric_is_refused_with_a_suggestion(name: str, suggestion: str) -> None:
    with pytest.raises(
        UserError, match=rf"--metric {name} is not a metric of these runs\. Did you mean '{suggestion}'\?"
    ):
        resolve(name, [run_with(evaluation(0, 3))])


@pytest.mark.parametrize("name", ["outcomes", "policy", "success_interval_95"])
def test_figure_that_is_not_a_number_is_not_a_metric(name: str) -> None:
    with pytest.raises(UserError, match="is not a metric"):
        resolve(name, [run_with(evaluation(0, 3))])


def test_runs_without_rows_have_no_metric() -> None:
    with pytest.raises(UserError, match="have no rows yet"):
        resolve("loss/actor", [replace(make_run(), columns=())])


LOWER = (
    "loss/world_model", "loss/critic", "grad_norm/actor", "time/update_s", "time/total_s", "memory/rss_bytes",
    "collision_rate_window", "timeout_rate_window", "env_faults", "evaluation/collision_rate",
    "evaluation/wall_collision_rate", "evaluation/timeout_rate", "evaluation/time_to_goal_s_mean", "evaluation/faults",
)  # fmt: skip
HIGHER = (
    "evaluation/success_rate", "evaluation/return_mean", "evaluation/spl", "evaluation/min_clearance_m_mean",
    "episode_return_window", "success_rate_window", "rate/env_steps_per_s", "rate/updates_per_s", "episodes_total",
)  # fmt: skip


@pytest.mark.parametrize("metric", LOWER)
def test_lower_is_better_for_losses_times_memory_and_collisions(metric: str) -> None:
    assert lower_is_better(metric)


@pytest.mark.parametrize("metric", HIGHER)
def test_higher_is_better_for_returns_successes_and_rates(metric: str) -> None:
    assert not lower_is_better(metric)


@pytest.mark.parametrize(
    ("metric", "heading"),
    [
        ("time/update_s", "time/update_s [s]"),
        ("memory/rss_bytes", "memory/rss_bytes [bytes]"),
        ("replay/bytes", "replay/bytes [bytes]"),
        ("rate/env_steps_per_s", "rate/env_steps_per_s [env steps/s]"),
        ("rate/updates_per_s", "rate/updates_per_s [1/s]"),
        ("evaluation/time_to_goal_s_mean", "evaluation/time_to_goal_s_mean [s]"),
        ("evaluation/min_clearance_m_min", "evaluation/min_clearance_m_min [m]"),
        ("loss/actor", "loss/actor"),
        ("evaluation/success_rate", "evaluation/success_rate"),
    ],
)
def test_heading_has_the_unit(metric: str, heading: str) -> None:
    assert with_unit(metric) == heading


def test_success_and_spl_are_shares_and_rates_per_second_are_not() -> None:
    shares = ("evaluation/success_rate", "collision_rate_window", "evaluation/spl")
    assert all(map(is_share, shares))
    assert not any(map(is_share, ("rate/env_steps_per_s", "episode_return_window", "loss/actor")))


# ----------------------------------------------------------------------------------------------------------- series


def test_column_over_env_steps_and_over_seconds_omits_nulls() -> None:
    run = make_run(values=[1.0, np.nan, 3.0])
    steps, values = series(run, "figure", "env_steps")
    seconds, timed_values = series(run, "figure", "wall")
    assert (list(steps), list(values)) == ([100.0, 300.0], [1.0, 3.0])
    assert (list(seconds), list(timed_values)) == ([10.0, 30.0], [1.0, 3.0])


def test_missing_column_is_empty() -> None:
    assert [len(part) for part in series(make_run(), "other", "env_steps")] == [0, 0]


def test_series_of_evaluations_has_only_those_of_the_policy() -> None:
    run = replace(make_run(), evaluations=(evaluation(0, 9, policy="random"), evaluation(0, 1), evaluation(50, 2)))
    steps, values = series(run, "evaluation/success_rate", "env_steps")
    assert (list(steps), list(values)) == ([0.0, 50.0], [0.05, 0.1])


def test_evaluations_are_timed_by_the_neighbouring_rows() -> None:
    run = replace(make_run(values=[0.0, 0.0]), evaluations=(evaluation(0, 1), evaluation(150, 2), evaluation(200, 3)))
    assert list(series(run, "evaluation/success_rate", "wall")[0]) == [0.0, 15.0, 20.0]


def test_evaluations_without_rows_have_no_time() -> None:
    run = replace(make_run(values=[]), evaluations=(evaluation(0, 1),))
    assert len(series(run, "evaluation/success_rate", "wall")[0]) == 0
    assert len(series(run, "evaluation/success_rate", "env_steps")[0]) == 1


def test_series_is_sorted_by_env_steps() -> None:
    run = make_run(values=[1.0, 2.0])
    run.rows["env_steps"][:] = [200.0, 100.0]
    assert list(series(run, "figure", "env_steps")[1]) == [2.0, 1.0]


# -------------------------------------------------------------------------------------------------- values of a run


def with_evaluations(*rows: dict[str, object]) -> Run:
    return replace(make_run(values=[0.0, 0.0, 0.0]), evaluations=tuple(rows))


def test_final_is_the_last_value_and_best_the_highest() -> None:
    run = make_run(values=[1.0, 5.0, 3.0, np.nan])
    result = outcome(run, "figure")
    assert (result.final, result.best, result.env_steps, result.wall_s) == (3.0, 5.0, 400.0, 40.0)
    assert result.run is run


def test_best_loss_is_the_lowest() -> None:
    run = make_run(values=[1.0])
    run.rows["loss/actor"] = np.array([0.5])
    run.rows["env_steps"] = np.array([100.0])
    assert outcome(run, "loss/actor").best == 0.5
    run = make_run(values=[1.0, 2.0, 3.0])
    run.rows["loss/actor"] = np.array([3.0, 1.0, 2.0])
    assert outcome(run, "loss/actor").best == 1.0


def test_evaluation_before_training_is_neither_final_nor_best() -> None:
    before = evaluation(0, 20)
    assert math.isnan(outcome(with_evaluations(before), "evaluation/success_rate").final)
    run = with_evaluations(before, evaluation(100, 5), evaluation(200, 2))
    result = outcome(run, "evaluation/success_rate")
    assert (result.final, result.best) == (0.1, 0.25)


def test_run_without_rows_has_no_values() -> None:
    result = outcome(make_run(values=[]), "figure")
    assert (result.env_steps, result.wall_s) == (0.0, 0.0)
    assert math.isnan(result.final)
    assert math.isnan(result.best)


@pytest.mark.parametrize(("level", "steps", "seconds"), [(2.0, 200.0, 20.0), (1.0, 100.0, 10.0), (9.0, np.inf, np.inf)])
def test_time_to_a_level_is_that_of_the_first_value_there(level: float, steps: float, seconds: float) -> None:
    run = make_run(values=[1.0, 2.0, 1.0, 3.0])
    assert time_to(run, "figure", "env_steps", level) == steps
    assert time_to(run, "figure", "wall", level) == seconds


@pytest.mark.parametrize("at", ["env_steps", "wall"])
def test_a_level_that_the_untrained_policy_had_is_reached_by_training(at: str) -> None:
    """A policy that stands still has no collisions."""
    rows = tuple({**evaluation(steps, 0), "collision_rate": rate} for steps, rate in ((0, 0.0), (100, 0.5), (200, 0.0)))
    run = replace(make_run(values=[1.0, 2.0]), evaluations=rows)
    assert time_to(run, "evaluation/collision_rate", at, 0.1) == (200.0 if at == "env_steps" else 20.0)


def test_loss_reaches_a_level_from_above() -> None:
    run = make_run(values=[3.0, 2.0, 1.0])
    run.rows["loss/actor"] = run.rows["figure"]
    assert time_to(run, "loss/actor", "env_steps", 2.5) == 200.0


@pytest.mark.parametrize("metric", ["figure", "loss/actor"])
def test_level_is_reached_by_a_value_that_differs_only_by_rounding(metric: str) -> None:
    run = make_run(values=[0.05])
    level = 0.05 * (1 + (1e-15 if metric == "figure" else -1e-15))
    assert time_to(replace(run, rows={**run.rows, metric: run.rows["figure"]}), metric, "env_steps", level) == 100.0


def with_window(episodes: list[float], values: list[float]) -> Run:
    run = make_run(values=values)
    return replace(
        run, rows={**run.rows, "success_rate_window": run.rows["figure"], "episodes_total": np.array(episodes)}
    )


@pytest.mark.parametrize("episodes", [[1.0, 60.0, 110.0, 150.0], [1.0, 6.0, 12.0, 12.0]])
def test_window_over_its_first_episodes_does_not_count(episodes: list[float]) -> None:
    run = with_window(episodes, [1.0, 0.9, 0.2, 0.3])
    result = outcome(run, "success_rate_window")
    assert (result.final, result.best, result.env_steps) == (0.3, 0.3, 400.0)
    assert time_to(run, "success_rate_window", "env_steps", 0.2) == 300.0
    assert outcome(run, "figure").best == 1.0


def test_window_counts_if_the_number_of_episodes_is_unknown() -> None:
    assert outcome(with_window([np.nan, np.nan], [1.0, 0.5]), "success_rate_window").best == 1.0


def with_counts(row: dict[str, object], **counts: int) -> dict[str, object]:
    return {**row, "outcome_counts": counts}


def test_successes_are_those_of_the_last_evaluation_after_training() -> None:
    rows = [
        with_counts(evaluation(steps, 0), success=won, timeout=20 - won) for steps, won in ((0, 9), (100, 3), (200, 4))
    ]
    assert successes(with_evaluations(*rows)) == (4, 20)
    assert successes(with_evaluations(rows[0])) == (0, 0)


def test_episode_that_ended_with_a_fault_is_not_a_success() -> None:
    assert successes(with_evaluations(with_counts(evaluation(100, 0), success=3, fault=1))) == (3, 4)


def test_task_without_success_rates_has_no_successes() -> None:
    row = {**with_counts(evaluation(100, 0)), "success_rate": None}
    assert successes(with_evaluations(row)) == (0, 0)


# ------------------------------------------------------------------------------------------------ values of a group


def names_of_counted(*runs: Run) -> list[str]:
    return [one.run.name for one in counted([outcome(run, "figure") for run in runs])]


def test_running_run_counts_from_half_of_the_steps_of_its_settings_longest() -> None:
    runs = [replace(make_run(str(rows), values=[1.0] * rows), state="running") for rows in (10, 5, 4)]
    lost = make_run("lost", values=[np.nan] * 10)
    assert names_of_counted(*runs, lost) == ["10", "5"]


def test_setting_with_fewer_steps_counts_next_to_a_longer_one() -> None:
    long = make_run("long", values=[1.0] * 10, algo__x=1)
    short = [replace(make_run(name, values=[1.0] * 2, algo__x=2), state="failed") for name in ("broken", "too")]
    assert names_of_counted(long, *short) == ["long", "broken", "too"]


def test_finished_run_counts_regardless_of_its_length() -> None:
    """Another run of its setting may have been resumed for longer."""
    assert names_of_counted(*(make_run(str(rows), values=[1.0] * rows) for rows in (10, 2))) == ["10", "2"]


def test_groups_are_ranked_best_first_and_those_without_a_value_last() -> None:
    trees = [{"final": {"iqm": value}} for value in (1.0, math.nan, 3.0)]
    assert ranked(trees, lower_is_better=False) == [2, 0, 1]
    assert ranked(trees, lower_is_better=True) == [0, 2, 1]


def test_curve_has_a_grid_from_the_first_value_to_the_last() -> None:
    found = curve([make_run(values=[0.0, 1.0]), make_run(values=[2.0, 3.0])], "figure", "env_steps", points=3)
    assert found.x.tolist() == [100.0, 150.0, 200.0]
    assert found.middle.tolist() == [1.0, 1.5, 2.0]
    assert (found.low <= found.middle).all()
    assert (found.high >= found.middle).all()
    assert found.low[0] < found.high[0]


def test_curve_over_wall_time_is_in_seconds() -> None:
    assert curve([make_run(values=[0.0, 1.0])], "figure", "wall", points=2).x.tolist() == [10.0, 20.0]


def test_run_does_not_count_past_its_end() -> None:
    found = curve([make_run(values=[0.0, 0.0]), make_run(values=[2.0, 2.0, 2.0])], "figure", "env_steps", points=3)
    assert found.middle.tolist() == [1.0, 1.0, 2.0]
    assert np.isnan(found.low).tolist() == [False, False, True]


def test_curve_ends_where_fewer_than_half_of_its_runs_remain() -> None:
    runs = [make_run(values=[0.0, 0.0]), make_run(values=[2.0, 2.0]), make_run(values=[9.0, 9.0, 9.0])]
    assert curve(runs, "figure", "env_steps", points=3).x.tolist() == [100.0, 200.0]


def test_curve_of_one_run_has_no_interval() -> None:
    found = curve([make_run(values=[0.0, 1.0])], "figure", "env_steps", points=2)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


def test_curve_of_runs_without_a_value_is_empty() -> None:
    found = curve([make_run()], "other", "env_steps")
    assert [len(part) for part in (found.x, found.middle, found.low, found.high)] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_every_social_metric_has_the_direction_that_people_prefer(name: str) -> None:
    assert lower_is_better(f"evaluation/{name}") is (name != "path_efficiency")
