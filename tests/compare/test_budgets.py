"""Algorithms at equal env steps and equal time, and the cost of a level."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.compare.budgets import best_against, cost_of_level
from dreamer_exp.compare.metrics import outcome
from dreamer_exp.compare.model import Comparison, Run
from tests.compare.folders import evaluation, make_run
from tests.compare.test_findings import compared


def algorithm(name: str, values: list[float], seconds: float = 1.0) -> list[Run]:
    """Return four seeds, with a value every 100 env steps, which take 10 s times `seconds`."""
    runs = [
        make_run(f"{name} {seed}", values=[value + 0.01 * seed for value in values], run__seed=seed, algo__name=name)
        for seed in range(4)
    ]
    return [replace(run, rows={**run.rows, "time/total_s": run.rows["time/total_s"] * seconds}) for run in runs]


@pytest.fixture
def found() -> Comparison:
    slow = algorithm("dreamerv3", [5.0, 8.0], seconds=10.0)
    return compared(*slow, *algorithm("ppo", [1.0, 2.0, 3.0, 4.0, 9.0]), threshold=4.0)


def test_at_equal_env_steps_each_run_has_its_value_of_then(found: Comparison) -> None:
    steps, _ = found.budgets
    assert (steps.at, steps.value) == ("env_steps", 200.0)
    assert [(tree["label"], tree["values"][0]) for tree in steps.groups] == [("dreamerv3", 8.0), ("ppo", 2.0)]
    assert [(pair.better, pair.decided) for pair in steps.pairs] == [("dreamerv3", True)]


def test_a_group_without_a_value_at_the_budget_hides_no_other(found: Comparison) -> None:
    _, wall = found.budgets
    assert (wall.at, wall.value) == ("wall", 50.0)
    assert [(tree["label"], tree["values"][0]) for tree in wall.groups] == [("ppo", 9.0)]
    assert wall.pairs == ()


def test_a_group_without_a_value_at_the_budget_is_named_with_the_reason(found: Comparison) -> None:
    (line,) = [line for line in found.findings if "no value" in line]
    assert line == (
        "At 50 s each, the end of ppo's shortest run, dreamerv3 has no value: 4 of 4 runs have their first one later "
        "(2 min); evaluate more often (evaluation.every_env_steps)"
    )


def test_a_group_without_a_value_in_some_runs_has_none() -> None:
    late = [
        replace(run, rows={name: column[1:] for name, column in run.rows.items()})
        for run in algorithm("sac", [1.0, 3.0])
    ]
    both = compared(*algorithm("ppo", [2.0]), late[0], *algorithm("sac", [1.0, 3.0])[1:])
    steps, _ = both.budgets
    assert [tree["label"] for tree in steps.groups] == ["ppo"]
    assert [(one["label"], one["missing"], one["of"], one["first"]) for one in steps.without] == [("sac", 1, 4, 200.0)]


def test_other_groups_are_compared_where_one_has_no_value() -> None:
    runs = [*algorithm("dreamerv3", [5.0, 8.0], seconds=10.0), *algorithm("sac", [1.0, 2.0, 3.0, 4.0, 5.0])]
    _, wall = compared(*runs, *algorithm("ppo", [1.0, 2.0, 3.0, 4.0, 9.0])).budgets
    assert [one["label"] for one in wall.without] == ["dreamerv3"]
    assert [(pair.better, pair.other, pair.decided) for pair in wall.pairs] == [("ppo", "sac", True)]


def test_a_run_without_times_does_not_set_the_equal_time() -> None:
    untimed = algorithm("ppo", [1.0, 2.0])
    untimed[0].rows["time/total_s"][:] = np.nan
    _, wall = compared(*algorithm("dreamerv3", [5.0, 8.0]), *untimed).budgets
    assert wall.value == 20.0
    assert [tree["label"] for tree in wall.groups] == ["dreamerv3"]
    assert [(one["label"], one["missing"]) for one in wall.without] == [("ppo", 1)]


def test_the_faster_algorithm_can_be_better_at_equal_time() -> None:
    slow = algorithm("dreamerv3", [5.0, 8.0], seconds=2.0)
    _, wall = compared(*slow, *algorithm("ppo", [1.0, 2.0, 7.0, 9.0])).budgets
    assert wall.value == 40.0
    assert [(tree["label"], tree["values"][0]) for tree in wall.groups] == [("ppo", 9.0), ("dreamerv3", 8.0)]


def test_a_decided_pair_at_equal_cost_is_a_finding(found: Comparison) -> None:
    assert any(line.startswith("At 200 env steps each: dreamerv3 beats ppo (P = 1.00 ") for line in found.findings)


def test_a_pair_that_is_not_decided_at_equal_cost_is_no_finding() -> None:
    found = compared(*algorithm("dreamerv3", [5.0, 8.0]), *algorithm("ppo", [5.0, 8.0]))
    assert [pair.decided for budget in found.budgets for pair in budget.pairs] == [False, False]
    assert not [line for line in found.findings if line.startswith("At ")]


def test_the_best_group_may_win_less_often() -> None:
    finals = {"ppo": [0.0, 0.0, 100.0], "sac": [1.0, 1.0, 1.0]}
    runs = [
        make_run(f"{name} {seed}", values=[value], run__seed=seed, algo__name=name)
        for name, values in finals.items()
        for seed, value in enumerate(values)
    ]
    steps, _ = compared(*runs).budgets
    pair = best_against(steps, "sac")
    assert steps.groups[0]["label"] == "ppo"
    assert best_against(steps, "ppo") is None
    assert pair is not None
    assert pair.better == "ppo"
    assert pair.probability.estimate == pytest.approx(1 / 3)
    assert pair.probability.low < 1 / 3 < pair.probability.high


def test_the_level_has_a_cost_in_env_steps_and_in_time(found: Comparison) -> None:
    costs = {tree["label"]: tree["cost_of_level"] for tree in found.statistics}
    assert costs["ppo"]["env_steps"] == {"reached": 4, "of": 4, "iqm": 400.0, "low": 400.0, "high": 400.0}
    assert costs["ppo"]["wall_s"]["iqm"] == 40.0
    assert costs["dreamerv3"]["wall_s"]["iqm"] == 100.0


def test_runs_evaluated_only_at_their_end_have_no_cost_of_a_level() -> None:
    run = replace(make_run(values=[1.0, 2.0]), evaluations=(evaluation(200, 10),))
    metric = "evaluation/success_rate"
    cost = cost_of_level([outcome(run, metric)], metric, 0.5)
    assert math.isnan(cost["env_steps"]["iqm"])


def test_groups_of_one_algorithm_have_no_budgets() -> None:
    assert compared(*algorithm("ppo", [1.0]), *algorithm("ppo", [2.0])).budgets == ()
