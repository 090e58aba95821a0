"""The summary of an arm: means over episodes, by family and by scenario."""

import math
from dataclasses import replace

from dreamer_exp.benchmark.rows import CellResult, read_row
from dreamer_exp.benchmark.summary import not_comparable, summarise
from dreamer_exp.benchmark.tables import HEADINGS, arm_line, markdown, published_lines, scenario_lines
from tests.benchmark.samples import metric_value, sample_row


def result(scenario: str, seed: int, reason: str, **metrics: float) -> CellResult:
    return read_row(sample_row(scenario, seed, reason, metrics=metrics), "dreamer_exp", metric_value)


RESULTS = [
    result("classic_door", 101, "success"),
    result("classic_door", 102, "collision", ped_collision_count=1, near_misses=4),
    result("francis2023_hall", 101, "success", min_clearance=math.inf),
    result("francis2023_hall", 102, "success", min_clearance=1.5),
]
CELLS = [each.cell for each in RESULTS]


def test_rates_are_means_over_episodes_and_families_stand_apart() -> None:
    summary = summarise(RESULTS, CELLS)
    assert (summary["episodes"], summary["success"], summary["collisions"]) == (4, 0.75, 0.25)
    assert (summary["ped_collision_count"], summary["obstacle_collision_count"], summary["near_misses"]) == (
        0.25,
        0,
        2.5,
    )
    assert [summary["by_family"][name]["success"] for name in ("classic", "francis2023")] == [0.5, 1.0]
    assert summary["by_scenario"]["classic_door"]["success_interval_95"][0] < 0.5
    assert summary["steps_per_second"] == 100.0


def test_a_mean_leaves_out_missing_and_infinite_values() -> None:
    summary = summarise(RESULTS, CELLS)
    assert summary["min_clearance"] == 1.5
    assert summary["jerk_mean"] is None


def test_a_summary_without_a_row_for_each_cell_is_not_comparable() -> None:
    summary = summarise(RESULTS[:3], CELLS)
    assert not_comparable(summary) == "1 of 4 cells have no row; the figures are not comparable"
    assert arm_line("ours", summary)[1] == "3!"
    assert not_comparable(summarise(RESULTS, CELLS)) == ""


def test_an_arm_without_rows_has_a_summary() -> None:
    summary = summarise([], CELLS)
    assert summary["success"] is None
    assert arm_line("ours", summary)[2] == "-"


def test_tables_have_a_cell_for_each_heading_and_the_worst_scenario_first() -> None:
    summary = summarise(RESULTS, CELLS)
    lines = [arm_line("ours", summary), *published_lines()]
    assert {len(line) for line in lines} == {len(HEADINGS)}
    assert markdown(HEADINGS, lines).count("\n") == len(lines) + 2
    assert [line[0] for line in scenario_lines(summary)] == ["classic_door", "francis2023_hall"]


def test_a_scenario_without_a_success_rate_stands_last() -> None:
    summary = summarise(RESULTS, CELLS)
    summary["by_scenario"]["classic_door"]["success"] = None
    assert [line[0] for line in scenario_lines(summary)] == ["francis2023_hall", "classic_door"]


def test_timeouts_are_counted() -> None:
    late = [replace(RESULTS[0], outcome="timeout")]
    assert summarise(late, [late[0].cell])["timeout_rate"] == 1.0
