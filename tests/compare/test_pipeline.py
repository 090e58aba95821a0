"""From runs to a comparison, and the figures of a group."""

import math
from dataclasses import replace
from typing import Any

import pytest

from dreamer_exp.compare.group import group_runs
from dreamer_exp.compare.metrics import outcome
from dreamer_exp.compare.model import ComparisonRequest, Run
from dreamer_exp.compare.pipeline import compare, summarise
from tests.compare.folders import evaluation, make_run
from tests.compare.test_findings import CLEAR, compared, runs_of


@pytest.mark.parametrize(("requested", "threshold"), [(None, 2.5), (7.0, 7.0)])
def test_threshold_is_reached_by_half_of_the_groups_unless_requested(requested: float | None, threshold: float) -> None:
    assert compared(*CLEAR, threshold=requested).threshold == threshold


@pytest.mark.parametrize(("finals", "threshold"), [((0, 0), None), ((0, 4), 0.2), ((4, 5), 0.2)])
def test_a_value_that_every_run_began_with_is_no_threshold(finals: tuple[int, int], threshold: float | None) -> None:
    runs = [replace(make_run(str(x), algo__x=x), evaluations=(evaluation(0, 0), evaluation(200, x))) for x in finals]
    assert compare(runs, ComparisonRequest("evaluation/success_rate")).threshold == threshold


def test_faults_of_paths_and_of_runs_are_kept() -> None:
    run = replace(make_run("broken"), faults=("result.jsonl: missing",))
    found = compare([run], ComparisonRequest("figure"), ["x: there is no such folder"])
    assert found.faults == ("x: there is no such folder", "broken: result.jsonl: missing")


def test_run_without_config_is_listed_but_in_no_group() -> None:
    lost = replace(make_run("lost"), config={}, state="failed")
    found = compared(*runs_of(1, 1.0, 2.0), lost)
    assert lost in found.runs
    assert len(found.groups[0].runs) == 2


def test_measurement_is_a_difference_but_separates_no_group() -> None:
    found = compared(*runs_of(1, 1.0, evaluation__baselines=[]), *runs_of(1, 2.0, evaluation__baselines=["orca"]))
    assert len(found.groups) == 1
    assert [one.key for one in found.differences] == ["evaluation.baselines"]


def test_equal_runs_give_an_equal_comparison() -> None:
    assert compared(*CLEAR).statistics == compared(*CLEAR).statistics


def test_interval_over_pooled_settings_of_one_seed_has_a_width() -> None:
    (figures,) = compared(*(run for x in range(6) for run in runs_of(x, float(x))), by="run.id").statistics
    assert figures["final"]["high"] - figures["final"]["low"] > 1


# ------------------------------------------------------------------------------------------------ figures of a group


def summary_of(runs: list[Run], metric: str, threshold: float) -> dict[str, Any]:
    (group,) = group_runs(runs).groups
    return summarise(group, [outcome(run, metric) for run in runs], metric, threshold)


def summary_of_finals(*finals: float) -> dict[str, Any]:
    runs = [make_run(str(number), values=[0.0, final], run__seed=number) for number, final in enumerate(finals)]
    return summary_of(runs, "figure", 2.0)


def with_evaluations(*rows: dict[str, object]) -> Run:
    return replace(make_run(values=[0.0, 0.0, 0.0]), evaluations=tuple(rows))


def test_figures_of_a_group() -> None:
    figures = summary_of_finals(1.0, 2.0, 3.0, 10.0)
    final = figures["final"]
    assert (figures["runs"], figures["counted"], figures["states"]) == (4, 4, {"finished": 4})
    assert figures["seeds"] == [0, 1, 2, 3]
    assert (final["mean"], final["iqm"], final["values"]) == (4.0, 2.5, [1.0, 2.0, 3.0, 10.0])
    assert final["low"] < 2.5 < final["high"]
    assert figures["success"] is None


def test_median_time_is_censored_if_at_most_half_of_the_runs_reached_the_level() -> None:
    assert summary_of_finals(1.0, 2.0, 3.0)["threshold"] == {
        "value": 2.0,
        "env_steps": {"median": 200.0, "reached": 2, "of": 3},
        "wall_s": {"median": 20.0, "reached": 2, "of": 3},
    }
    different = [make_run(values=[0.0] * rows + [3.0], run__seed=rows) for rows in (1, 4)]
    figures = summary_of(different, "figure", 2.0)
    assert figures["threshold"]["env_steps"]["median"] == 350.0  # the mean of 200 and 500
    half = summary_of_finals(1.0, 1.0, 3.0, 3.0)["threshold"]
    assert half["env_steps"] == {"median": math.inf, "reached": 2, "of": 4}


@pytest.mark.parametrize(("steps", "median"), [((0, 300), math.nan), ((0, 200, 300), 300.0)])
def test_runs_evaluated_only_at_their_end_have_no_time_to_a_level(steps: tuple[int, ...], median: float) -> None:
    run = with_evaluations(*(evaluation(step, 10 * (step == 300)) for step in steps))
    time = summary_of([run], "evaluation/success_rate", 0.5)["threshold"]["env_steps"]
    assert time["median"] == pytest.approx(median, nan_ok=True)
    assert time["reached"] == 1


def test_successes_are_pooled_over_runs_with_wilsons_interval() -> None:
    runs = [
        with_evaluations({**evaluation(100, 0), "outcome_counts": {"success": won, "timeout": 20 - won}})
        for won in (10, 16)
    ]
    success = summary_of(runs, "evaluation/success_rate", 0.5)["success"]
    assert (success["successes"], success["episodes"], success["rate"]) == (26, 40, 0.65)
    assert (success["low"], success["high"]) == pytest.approx((0.4951, 0.7787), abs=1e-4)  # Wilson's, for 26 of 40


def test_group_without_counted_runs_has_no_figures() -> None:
    (group,) = group_runs([make_run(values=[])]).groups
    figures = summarise(group, [], "figure", math.nan)
    assert math.isnan(figures["final"]["iqm"])
    assert (figures["counted"], figures["success"]) == (0, None)
