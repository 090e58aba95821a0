"""What one run came to, which runs count, and a group's figures."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.compare.group import group
from dreamer_exp.compare.model import Run
from dreamer_exp.compare.outcome import Outcome, counted, outcome, successes, time_to
from dreamer_exp.compare.summary import ranked, summarise
from tests.compare.folders import evaluation, made_run


def evaluated(*rows: dict[str, object], **config: object) -> Run:
    return replace(made_run(values=[0.0, 0.0, 0.0], **config), evaluations=tuple(rows))


def test_final_is_the_last_value_and_best_the_highest() -> None:
    told = outcome(made_run(values=[1.0, 5.0, 3.0, np.nan]), "figure")
    assert (told.final, told.best, told.env_steps, told.wall_s) == (3.0, 5.0, 400.0, 40.0)


def test_the_best_loss_is_the_lowest() -> None:
    run = made_run(values=[1.0])
    run.rows["loss/actor"] = np.array([0.5])
    run.rows["env_steps"] = np.array([100.0])
    assert outcome(run, "loss/actor").best == 0.5
    run = made_run(values=[1.0, 2.0, 3.0])
    run.rows["loss/actor"] = np.array([3.0, 1.0, 2.0])
    assert outcome(run, "loss/actor").best == 1.0


def test_the_evaluation_before_training_is_neither_final_nor_best() -> None:
    before = evaluation(0, 20)
    assert math.isnan(outcome(evaluated(before), "evaluation/success_rate").final)
    told = outcome(evaluated(before, evaluation(100, 5), evaluation(200, 2)), "evaluation/success_rate")
    assert (told.final, told.best) == (0.1, 0.25)


def test_a_run_without_rows_has_no_figures() -> None:
    told = outcome(made_run(values=[]), "figure")
    assert (told.env_steps, told.wall_s) == (0.0, 0.0)
    assert math.isnan(told.final)
    assert math.isnan(told.best)


def test_a_run_at_work_counts_from_half_of_the_way_of_its_settings_furthest_on() -> None:
    runs = [replace(made_run(str(rows), values=[1.0] * rows), state="running") for rows in (10, 5, 4)]
    lost = made_run("lost", values=[np.nan] * 10)
    told = counted([outcome(run, "figure") for run in (*runs, lost)])
    assert [one.run.name for one in told] == ["10", "5"]


def test_a_setting_that_was_given_fewer_steps_counts_beside_a_longer_one() -> None:
    long = made_run("long", values=[1.0] * 10, algo__x=1)
    short = [replace(made_run(name, values=[1.0] * 2, algo__x=2), state="failed") for name in ("broken", "too")]
    told = counted([outcome(run, "figure") for run in (long, *short)])
    assert [one.run.name for one in told] == ["long", "broken", "too"]


def test_a_finished_run_counts_however_short_it_is() -> None:
    """It did what it was told to: a run of its setting that was resumed for longer doesn't unmake it."""
    told = counted([outcome(made_run(str(rows), values=[1.0] * rows), "figure") for rows in (10, 2)])
    assert [one.run.name for one in told] == ["10", "2"]


@pytest.mark.parametrize(("level", "steps", "seconds"), [(2.0, 200.0, 20.0), (1.0, 100.0, 10.0), (9.0, np.inf, np.inf)])
def test_the_time_to_a_level_is_of_the_first_value_there(level: float, steps: float, seconds: float) -> None:
    run = made_run(values=[1.0, 2.0, 1.0, 3.0])
    assert time_to(run, "figure", "env_steps", level) == steps
    assert time_to(run, "figure", "wall", level) == seconds


def test_a_loss_reaches_a_level_from_above() -> None:
    run = made_run(values=[3.0, 2.0, 1.0])
    run.rows["loss/actor"] = run.rows["figure"]
    assert time_to(run, "loss/actor", "env_steps", 2.5) == 200.0


def windowed(episodes: list[float], values: list[float]) -> Run:
    run = made_run(values=values)
    return replace(
        run, rows={**run.rows, "success_rate_window": run.rows["figure"], "episodes_total": np.array(episodes)}
    )


@pytest.mark.parametrize("episodes", [[1.0, 60.0, 110.0, 150.0], [1.0, 6.0, 12.0, 12.0]])
def test_the_best_of_a_window_is_none_of_its_first_lucky_episodes(episodes: list[float]) -> None:
    run = windowed(episodes, [1.0, 0.9, 0.2, 0.3])
    told = outcome(run, "success_rate_window")
    assert (told.final, told.best, told.env_steps) == (0.3, 0.3, 400.0)
    assert time_to(run, "success_rate_window", "env_steps", 0.2) == 300.0
    assert outcome(run, "figure").best == 1.0


def test_a_window_is_taken_as_it_is_where_nothing_tells_its_episodes() -> None:
    assert outcome(windowed([np.nan, np.nan], [1.0, 0.5]), "success_rate_window").best == 1.0


@pytest.mark.parametrize("metric", ["figure", "loss/actor"])
def test_a_level_is_reached_by_what_differs_from_it_in_rounding_alone(metric: str) -> None:
    run = made_run(values=[0.05])
    level = 0.05 * (1 + (1e-15 if metric == "figure" else -1e-15))
    assert time_to(replace(run, rows={**run.rows, metric: run.rows["figure"]}), metric, "env_steps", level) == 100.0


def with_counts(row: dict[str, object], **counts: int) -> dict[str, object]:
    return {**row, "outcome_counts": counts}


def test_successes_are_of_the_last_evaluation_after_training() -> None:
    rows = [
        with_counts(evaluation(steps, 0), success=won, timeout=20 - won) for steps, won in ((0, 9), (100, 3), (200, 4))
    ]
    assert successes(evaluated(*rows)) == (4, 20)
    assert successes(evaluated(rows[0])) == (0, 0)


def test_an_episode_that_a_fault_broke_off_is_no_success() -> None:
    assert successes(evaluated(with_counts(evaluation(100, 0), success=3, fault=1))) == (3, 4)


def test_a_task_without_outcomes_has_no_successes() -> None:
    row = {**with_counts(evaluation(100, 0)), "success_rate": None}
    assert successes(evaluated(row)) == (0, 0)


def of_group(finals: list[float], threshold: float = 2.0) -> dict[str, object]:
    runs = [made_run(str(number), values=[0.0, final], run__seed=number) for number, final in enumerate(finals)]
    (one,) = group(runs).groups
    return summarise(one, [outcome(run, "figure") for run in runs], "figure", threshold)


def test_a_groups_figures() -> None:
    told = of_group([1.0, 2.0, 3.0, 10.0])
    final = told["final"]
    assert (told["runs"], told["counted"], told["states"], told["seeds"]) == (4, 4, {"finished": 4}, [0, 1, 2, 3])
    assert (final["mean"], final["iqm"], final["values"]) == (4.0, 2.5, [1.0, 2.0, 3.0, 10.0])  # type: ignore[index]
    assert final["low"] < 2.5 < final["high"]  # type: ignore[index]
    assert told["success"] is None


def test_the_median_time_is_of_all_runs_and_censored_where_at_most_half_got_there() -> None:
    assert of_group([1.0, 2.0, 3.0])["threshold"] == {
        "value": 2.0,
        "env_steps": {"median": 200.0, "reached": 2, "of": 3},
        "wall_s": {"median": 20.0, "reached": 2, "of": 3},
    }
    different = [made_run(values=[0.0] * rows + [3.0], run__seed=rows) for rows in (1, 4)]
    told = summarise(group(different).groups[0], [outcome(run, "figure") for run in different], "figure", 2.0)
    assert told["threshold"]["env_steps"]["median"] == 350.0  # the mean of 200 and 500
    half = of_group([1.0, 1.0, 3.0, 3.0])["threshold"]
    assert half["env_steps"] == {"median": math.inf, "reached": 2, "of": 4}  # type: ignore[index]


@pytest.mark.parametrize(("steps", "median"), [((0, 300), math.nan), ((0, 200, 300), 300.0)])
def test_runs_evaluated_only_at_their_end_have_no_time_to_a_level(steps: tuple[int, ...], median: float) -> None:
    run = evaluated(*(evaluation(step, 10 * (step == 300)) for step in steps))
    told = summarise(group([run]).groups[0], [outcome(run, "evaluation/success_rate")], "evaluation/success_rate", 0.5)[
        "threshold"
    ]["env_steps"]
    assert told["median"] == pytest.approx(median, nan_ok=True)
    assert told["reached"] == 1


def test_successes_are_pooled_over_runs_with_wilsons_interval() -> None:
    runs = [evaluated(with_counts(evaluation(100, 0), success=won, timeout=20 - won)) for won in (10, 16)]
    (one,) = group(runs).groups
    told = summarise(one, [outcome(run, "evaluation/success_rate") for run in runs], "evaluation/success_rate", 0.5)
    success = told["success"]
    assert (success["successes"], success["episodes"], success["rate"]) == (26, 40, 0.65)
    assert (success["low"], success["high"]) == pytest.approx((0.4951, 0.7787), abs=1e-4)  # Wilson's, for 26 of 40


def test_a_group_in_which_no_run_counts_has_no_figures() -> None:
    (one,) = group([made_run(values=[])]).groups
    told = summarise(one, [], "figure", math.nan)
    assert math.isnan(told["final"]["iqm"])
    assert (told["counted"], told["success"]) == (0, None)


def test_groups_are_ranked_best_first_and_those_without_a_value_last() -> None:
    trees = [{"final": {"iqm": value}} for value in (1.0, math.nan, 3.0)]
    assert ranked(trees, lower_is_better=False) == [2, 0, 1]
    assert ranked(trees, lower_is_better=True) == [0, 2, 1]


def test_an_outcome_knows_its_run() -> None:
    run = made_run()
    assert isinstance(outcome(run, "figure"), Outcome)
    assert outcome(run, "figure").run is run
