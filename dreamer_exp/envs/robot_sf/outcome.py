"""The outcome of an episode of Robot SF, and the figures that its last info reports."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from dreamer_exp.envs.crowd_nav.constants import NEAR_MISS_CLEARANCE
from dreamer_exp.envs.episode import (
    PEDESTRIAN_COLLISION,
    ROBOT_COLLISION,
    SUCCESS,
    TIMEOUT,
    WALL_COLLISION,
    EpisodeInfo,
    Outcome,
)

Point = tuple[float, float]

OUTCOMES: dict[str, Outcome] = {
    "is_pedestrian_collision": PEDESTRIAN_COLLISION,
    "is_obstacle_collision": WALL_COLLISION,
    "is_robot_collision": ROBOT_COLLISION,
    "is_route_complete": SUCCESS,
    "is_timesteps_exceeded": TIMEOUT,
}
"""Flag of Robot SF's `meta` -> outcome; the first flag that is set wins."""


def decide_outcome(meta: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome at this step, or None."""
    return next((outcome for flag, outcome in OUTCOMES.items() if meta[flag]), None)


def path_length(points: list[Point]) -> float:
    """Return the length in metres of the line through these points."""
    return sum(math.dist(a, b) for a, b in pairwise(points))


class EpisodeRecord:
    """Sums and extremes over one episode."""

    def __init__(self, start: Point, route: list[Point]) -> None:
        """Start at this point (x, y) with this route, in metres."""
        self._position = start
        self.steps = 0
        self._driven = 0.0
        self._route_length = path_length([start, *route])
        self._min_clearance: float | None = None
        self._near_misses = 0
        self._reward_terms: dict[str, float] = {}

    def add(self, position: Point, meta: Mapping[str, Any]) -> None:
        """Add one step: the robot's position after it, and Robot SF's `meta`.

        `meta["min_clearance"]` is that of the step: metres between the surfaces of robot and nearest pedestrian, NaN
        without pedestrians.
        """
        self.steps += 1
        self._driven += math.dist(self._position, position)
        self._position = position
        clearance = float(meta["min_clearance"])
        if math.isfinite(clearance):
            self._near_misses += 0.0 < clearance < NEAR_MISS_CLEARANCE
            least = self._min_clearance
            self._min_clearance = clearance if least is None else min(clearance, least)
        for name, value in meta["reward_terms"].items():
            self._reward_terms[name] = self._reward_terms.get(name, 0.0) + float(value)

    def summary(self, dt: float) -> EpisodeInfo:
        """Return the figures for the final info; `min_clearance` is None without pedestrians, as JSON has no NaN."""
        return {
            "path_length": self._driven,
            "route_length": self._route_length,
            "time_s": round(self.steps * dt, 6),
            "min_clearance": self._min_clearance,
            "near_misses": self._near_misses,
            "reward_terms": dict(self._reward_terms),
        }
