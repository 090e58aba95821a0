"""The rows of an arm: Robot SF's JSON lines, kept byte for byte, and what we count of each."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.envs.episode import (
    FAILURE,
    PEDESTRIAN_COLLISION,
    ROBOT_COLLISION,
    SUCCESS,
    TIMEOUT,
    WALL_COLLISION,
    Outcome,
)
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.rundir.row_filter import filter_rows

METRICS = (
    "success",
    "collisions",
    "ped_collision_count",
    "obstacle_collision_count",
    "agent_collision_count",
    "near_misses",
    "time_to_goal_norm",
    "path_efficiency",
    "jerk_mean",
    "curvature_mean",
    "energy",
    "comfort_exposure",
    "force_exceed_events",
    "min_clearance",
    "stalled_time",
    "failure_to_progress",
)
"""Metrics that are summarised, by their names in Robot SF's rows."""
TIMEOUTS = ("max_steps", "truncated", "terminated")
"""Reasons for the end of an episode without success or collision; `terminated` is the scenario's own limit."""

MAX_STEPS = 10**9

MetricValue = Callable[[Mapping[str, Any], str], float | None]


@dataclass(frozen=True)
class CellResult:
    """What is counted of one row. `metrics` lacks those that the row lacks."""

    cell: EvaluationEpisode
    outcome: Outcome
    steps: int
    seconds: float
    metrics: Mapping[str, float]


class RefusedRow(Exception):
    """A row that does not count; the message is why."""


def read_row(row: Mapping[str, Any], algo: str, metric_value: MetricValue) -> CellResult:
    """Return what is counted of a row, which may hold values of any type.

    Args:
        row: as Robot SF wrote it.
        algo: that the row has to be of.
        metric_value: Robot SF's reading of a metric.

    Raises:
        RefusedRow: it is not a row of this runner, is of another planner, contradicts itself, or the planner failed or
            fell back.
    """
    try:
        return _read_row(row, algo, metric_value)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RefusedRow(f"it is not a row of Robot SF: {type(error).__name__}: {error}") from error


def _read_row(row: Mapping[str, Any], algo: str, metric_value: MetricValue) -> CellResult:
    metadata = row["algorithm_metadata"]
    if row["algo"] != algo or metadata["algorithm"] != algo:
        raise RefusedRow(f"it is a row of {row['algo']}, not of {algo}")
    if (status := metadata.get("status", "ok")) != "ok":
        raise RefusedRow(f"the planner's status is {status}")
    integrity = row["integrity"]
    if integrity["contradictions"] or (integrity.get("effective_view") or {}).get("degraded"):
        raise RefusedRow("Robot SF marks it as contradictory or degraded")
    if row["termination_reason"] == "error":
        raise RefusedRow("it ended in an error")
    values = {name: metric_value(row, name) for name in METRICS}
    metrics = {name: float(value) for name, value in values.items() if value is not None}
    cell = EvaluationEpisode(int(row["seed"]), str(row["scenario_id"]))
    steps, seconds = int(row["steps"]), float(row["wall_time_sec"])
    if not (0 <= steps <= MAX_STEPS and 0.0 <= seconds < math.inf):
        raise RefusedRow("its steps or its seconds are not those of an episode")
    if not (math.isfinite(metrics["success"]) and math.isfinite(metrics["collisions"])):
        raise RefusedRow("its success or its collisions are not numbers")
    return CellResult(cell, outcome_of(row, metrics), steps, seconds, metrics)


def outcome_of(row: Mapping[str, Any], metrics: Mapping[str, float]) -> Outcome:
    """Return the outcome under our names; of several collisions in the last step, the first in this order."""
    if metrics["success"]:
        return SUCCESS
    if metrics["collisions"]:
        counts: tuple[tuple[str, Outcome], ...] = (
            ("ped_collision_count", PEDESTRIAN_COLLISION),
            ("obstacle_collision_count", WALL_COLLISION),
            ("agent_collision_count", ROBOT_COLLISION),
        )
        return next((outcome for name, outcome in counts if metrics.get(name)), FAILURE)
    return TIMEOUT if row["termination_reason"] in TIMEOUTS else FAILURE


def read_rows(path: Path, read: Callable[[Mapping[str, Any]], CellResult]) -> dict[EvaluationEpisode, CellResult]:
    """Return the rows of a file by cell; damaged and refused lines, and second ones of a cell, are removed from it.

    Raises:
        OSError: the file cannot be read or replaced.
    """
    found: dict[EvaluationEpisode, CellResult] = {}

    def keep(row: dict[str, Any]) -> bool:
        try:
            result = read(row)
        except RefusedRow:
            return False
        return found.setdefault(result.cell, result) is result

    filter_rows(path, keep, parse_line)
    return found


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the row in a line, which may hold Infinity and NaN, or None."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
