"""Success by scenario over the last evaluations of runs."""

import csv
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.compare.model import Comparison, ComparisonRequest
from dreamer_exp.compare.page import render_page
from dreamer_exp.compare.pipeline import compare
from dreamer_exp.compare.read import read_run
from dreamer_exp.compare.scenarios import scenario_rates, worst_first
from dreamer_exp.compare.terminal import show
from dreamer_exp.compare.write import write_tables
from dreamer_exp.rundir.rates import wilson_interval
from tests.compare.folders import config, evaluation, write_rows, write_run


def with_scenarios(root: Path, tree: dict[str, Any], **outcomes: list[str]) -> Path:
    """Write a run whose last evaluation has these outcomes by scenario."""
    write_run(root, tree)
    row = evaluation(200, 0)
    row["outcomes"] = [
        {"scenario": scenario, "outcome": outcome, "seed": 1}
        for scenario, all_of in outcomes.items()
        for outcome in all_of
    ]
    write_rows(root / "evaluation.jsonl", [evaluation(100, 10), row])
    return root


def compared(folder: Path) -> Comparison:
    """Compare two groups of one run each."""
    of_second = {"door": ["wall_collision"], "hall": ["success"], "_script_": ["timeout"]}
    roots = [
        with_scenarios(folder / "a", config(), door=["success", "timeout"], hall=["success"]),
        with_scenarios(folder / "b", config(batch_size_B=16), **of_second),
    ]
    return compare([read_run(root, root.name) for root in roots], ComparisonRequest())


def test_episodes_of_the_last_evaluations_are_one_binomial_for_each_scenario(tmp_path: Path) -> None:
    first = read_run(with_scenarios(tmp_path / "a", config(), door=["success", "timeout"]), "a")
    second = read_run(with_scenarios(tmp_path / "b", config(2), door=["success"], hall=["success"]), "b")
    rates = scenario_rates([first, second])
    low, high = wilson_interval(2, 3) or (0, 0)
    assert rates["door"] == {
        "episodes": 3,
        "successes": 2,
        "rate": 2 / 3,
        "low": low,
        "high": high,
        "outcomes": {"success": 2, "timeout": 1},
    }
    assert list(rates) == ["door", "hall"]


def test_the_scenario_with_the_lowest_mean_success_is_first(tmp_path: Path) -> None:
    assert worst_first(compared(tmp_path).scenarios) == ["_script_", "door", "hall"]


def test_runs_without_scenarios_have_none(tmp_path: Path) -> None:
    assert scenario_rates([read_run(write_run(tmp_path / "a"), "a")]) == {}


def test_foreign_episodes_are_left_out(tmp_path: Path) -> None:
    root = write_run(tmp_path / "a")
    row = evaluation(200, 0)
    row["outcomes"] = [7, {"scenario": 3, "outcome": "success"}, {"scenario": "door", "outcome": None}]
    row["scenario_counts"] = {"door": {"success": 9}}
    write_rows(root / "evaluation.jsonl", [row])
    assert scenario_rates([read_run(root, "a")]) == {}


def test_a_table_lists_each_group_and_scenario(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    *_, path = write_tables(tmp_path / "out", compared(tmp_path))
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert path.name == "compare_scenarios.csv"
    assert [(line["group"], line["scenario"], line["successes"], line["episodes"]) for line in lines] == [
        ("batch_size_B=8", "door", "1", "2"),
        ("batch_size_B=8", "hall", "1", "1"),
        ("batch_size_B=16", "_script_", "0", "1"),
        ("batch_size_B=16", "door", "0", "1"),
        ("batch_size_B=16", "hall", "1", "1"),
    ]


def test_the_terminal_shows_scenarios_by_group(tmp_path: Path) -> None:
    console = Console(width=100, record=True, force_terminal=False)
    show(console, compared(tmp_path))
    (line,) = [line for line in console.export_text().splitlines() if line.strip().startswith("door")]
    assert "50% [9%, 91%] of 2" in line
    assert "0% [0%, 79%] of 1" in line


def test_the_page_shows_scenarios_by_group(tmp_path: Path) -> None:
    page = render_page(compared(tmp_path), tmp_path)
    assert '<h2 id="h-scenarios">Success by scenario</h2>' in page
    assert page.count("1 of 2") >= 1
