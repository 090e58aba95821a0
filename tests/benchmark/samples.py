"""Rows in the form of Robot SF's, and its reading of a metric, for tests without its package."""

import json
from collections.abc import Mapping
from typing import Any

COLLISIONS = ("ped_collision_count", "obstacle_collision_count", "agent_collision_count")


def sample_row(
    scenario: str = "classic_door", seed: int = 101, reason: str = "success", **changes: Any
) -> dict[str, Any]:
    """Return a row that ended for this reason; `changes` replace entries, those of `metrics` add to them."""
    metrics = {"success": reason == "success", "near_misses": 2.0, **dict.fromkeys(COLLISIONS, 0)}
    row = {
        "algo": "dreamer_exp",
        "algorithm_metadata": {"algorithm": "dreamer_exp", "status": "ok"},
        "integrity": {"contradictions": [], "effective_view": {"degraded": False}},
        "scenario_id": scenario,
        "seed": seed,
        "termination_reason": reason,
        "steps": 50,
        "wall_time_sec": 0.5,
        **changes,
    }
    return {**row, "metrics": {**metrics, **changes.get("metrics", {})}}


def metric_value(row: Mapping[str, Any], name: str) -> float | None:
    """Return a metric as Robot SF's reading does, as far as these rows need it."""
    if name in ("success", "collisions"):
        return float(row["termination_reason"] == name.removesuffix("s").replace("succes", "success"))
    value = row["metrics"].get(name)
    return None if value is None else float(value)


def as_line(row: Mapping[str, Any]) -> bytes:
    """Return the row as a line of a file."""
    return json.dumps(row).encode() + b"\n"
