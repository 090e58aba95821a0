"""How an episode of Robot SF ends, and the figures that its last info reports under crowd_nav's names."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from dreamer_exp.envs.crowd_nav.constants import NEAR_MISS_CLEARANCE
from dreamer_exp.envs.episode import SUCCESS, TIMEOUT

Point = tuple[float, float]

OUTCOMES = {
    "is_pedestrian_collision": "pedestrian_collision",
    "is_obstacle_collision": "wall_collision",
    "is_robot_collision": "robot_collision",
    "is_route_complete": SUCCESS,
    "is_timesteps_exceeded": TIMEOUT,
}
"""Flags of Robot SF's `meta` -> outcome, the weightiest first: a collision outweighs success, either a timeout."""


def decide_outcome(meta: Mapping[str, Any]) -> str | None:
    """How the episode ends at this step, or None."""
    return next((outcome for flag, outcome in OUTCOMES.items() if meta[flag]), None)


def path_length(points: list[Point]) -> float:
    """Metres along straight lines from point to point."""
    return sum(math.dist(a, b) for a, b in pairwise(points))


class EpisodeRecord:
    """Sums and extremes over one episode."""

    def __init__(self, start: Point, route: list[Point]) -> None:
        """Start at this point (x, y), with these waypoints to come, all in metres."""
        self._position = start
        self._steps = 0
        self._driven = 0.0
        self._route_length = path_length([start, *route])
        self._min_clearance: float | None = None
        self._near_misses = 0
        self._reward_terms: dict[str, float] = {}

    def add(self, position: Point, meta: Mapping[str, Any]) -> None:
        """Count one step: where the robot is now, and Robot SF's `meta` of the step.

        Robot SF's `min_clearance` is the step's own: metres between the surfaces of the robot and the nearest
        pedestrian, NaN without pedestrians.
        """
        self._steps += 1
        self._driven += math.dist(self._position, position)
        self._position = position
        clearance = float(meta["min_clearance"])
        if math.isfinite(clearance):
            self._near_misses += 0.0 < clearance < NEAR_MISS_CLEARANCE
            least = self._min_clearance
            self._min_clearance = clearance if least is None else min(clearance, least)
        for name, value in meta["reward_terms"].items():
            self._reward_terms[name] = self._reward_terms.get(name, 0.0) + float(value)

    def summary(self, dt: float) -> dict[str, Any]:
        """The figures for the final info; `min_clearance` is None when nobody walks, as JSON has no NaN."""
        return {
            "path_length": self._driven,
            "route_length": self._route_length,
            "time_s": round(self._steps * dt, 6),
            "min_clearance": self._min_clearance,
            "near_misses": self._near_misses,
            "reward_terms": dict(self._reward_terms),
        }
