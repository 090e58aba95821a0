"""Algorithms at equal env steps and equal time, and the cost of a level."""

from dataclasses import replace

import pytest

from dreamer_exp.compare.model import Comparison, Run
from tests.compare.folders import make_run
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


def test_without_a_value_until_the_equal_time_it_is_not_known(found: Comparison) -> None:
    _, wall = found.budgets
    assert (wall.at, wall.value, wall.without, wall.groups) == ("wall", 50.0, ("dreamerv3",), ())


def test_the_faster_algorithm_can_be_better_at_equal_time() -> None:
    slow = algorithm("dreamerv3", [5.0, 8.0], seconds=2.0)
    _, wall = compared(*slow, *algorithm("ppo", [1.0, 2.0, 7.0, 9.0])).budgets
    assert wall.value == 40.0
    assert [(tree["label"], tree["values"][0]) for tree in wall.groups] == [("ppo", 9.0), ("dreamerv3", 8.0)]


def test_the_findings_have_the_equal_costs_and_the_cost_of_the_level(found: Comparison) -> None:
    assert "At 200 env steps each: dreamerv3 8.02 [8, 8.03], ppo 2.01 [2, 2.03]" in found.findings
    assert any(line.startswith("At 200 env steps each: dreamerv3 beats ppo (P = 1.00 ") for line in found.findings)
    (line,) = [line for line in found.findings if line.startswith("To 4: ")]
    assert "dreamerv3 100 env steps [100, 100], 2 min" in line
    assert "ppo 400 env steps [400, 400], 40 s" in line


def test_groups_of_one_algorithm_have_no_budgets() -> None:
    assert compared(*algorithm("ppo", [1.0]), *algorithm("ppo", [2.0])).budgets == ()
