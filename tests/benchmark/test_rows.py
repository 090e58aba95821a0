"""What is counted of Robot SF's rows, and which rows never count."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.benchmark.rows import CellResult, RefusedRow, read_row, read_rows
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from tests.benchmark.samples import as_line, metric_value, sample_row


def read(row: Any) -> CellResult:
    return read_row(row, "dreamer_exp", metric_value)


@pytest.mark.parametrize(
    ("reason", "metrics", "outcome"),
    [
        ("success", {}, "success"),
        ("collision", {"ped_collision_count": 1, "obstacle_collision_count": 1}, "pedestrian_collision"),
        ("collision", {"obstacle_collision_count": 1}, "wall_collision"),
        ("collision", {"agent_collision_count": 1}, "robot_collision"),
        ("collision", {}, "failure"),
        ("max_steps", {}, "timeout"),
        ("terminated", {}, "timeout"),
    ],
)
def test_outcomes_have_our_names(reason: str, metrics: dict[str, int], outcome: str) -> None:
    assert read(sample_row(reason=reason, metrics=metrics)).outcome == outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"algo": "goal"},
        {"algorithm_metadata": {"algorithm": "dreamer_exp", "status": "fallback"}},
        {"algorithm_metadata": {"algorithm": "goal", "status": "ok"}},
        {"integrity": {"contradictions": ["success and collision"]}},
        {"integrity": {"contradictions": [], "effective_view": {"degraded": True}}},
        {"reason": "error"},
        {"seed": float("inf")},
        {"wall_time_sec": None},
        {"wall_time_sec": float("nan")},
        {"steps": -1},
        {"steps": 10**400},
        {"metrics": {"near_misses": "many"}},
        {"algorithm_metadata": []},
        {"integrity": {"contradictions": [], "effective_view": "complete"}},
    ],
)
def test_a_row_that_failed_or_fell_back_does_not_count(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedRow):
        read(sample_row(**changes))


@pytest.mark.parametrize("name", ["success", "collisions"])
def test_an_outcome_that_is_not_a_number_does_not_count(name: str) -> None:
    def forged(row: Mapping[str, Any], asked: str) -> float | None:
        return float("nan") if asked == name else metric_value(row, asked)

    with pytest.raises(RefusedRow):
        read_row(sample_row(), "dreamer_exp", forged)


def test_damaged_refused_and_repeated_rows_are_removed_from_the_file(tmp_path: Path) -> None:
    path, good = tmp_path / "episodes.jsonl", as_line(sample_row(metrics={"min_clearance": float("inf")}))
    other = as_line(sample_row(seed=102, reason="max_steps"))
    endless = as_line(sample_row(seed=104, steps=float("inf")))
    refused = as_line(sample_row(seed=103, algo="goal"))
    path.write_bytes(good + b'{"cut": \n' + refused + endless + good + other + good[:40])
    found = read_rows(path, read)
    assert list(found) == [EvaluationEpisode(101, "classic_door"), EvaluationEpisode(102, "classic_door")]
    assert path.read_bytes() == good + other


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "episodes.jsonl", read) == {}
