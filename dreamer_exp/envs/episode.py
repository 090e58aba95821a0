"""How an episode ended, in the same words for every environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SUCCESS, TIMEOUT = "success", "timeout"
FAULT = "fault"  # ended by an observation or a reward that broke the contract (fault_guard.py): in no rate of training
COLLISIONS = ("pedestrian_collision", "wall_collision", "robot_collision")


@dataclass(frozen=True)
class EpisodeResult:
    """One episode. Fields that the environment doesn't report are None (a Gymnasium task has no outcome).

    `path_length` and `route_length` in metres, `time_s` in seconds, `min_clearance` in metres between surfaces.
    """

    episode_return: float
    length: int
    outcome: str | None = None
    scenario: str | None = None
    seed: int | None = None
    path_length: float | None = None
    route_length: float | None = None
    time_s: float | None = None
    min_clearance: float | None = None
    near_misses: int | None = None
    faults: int = 0  # broken observations and rewards since the environment's last episode, those at resets included
    fault: str | None = None  # the last of them, in words

    @property
    def collided(self) -> bool:
        """Whether any kind of collision ended the episode."""
        return self.outcome in COLLISIONS

    @property
    def spl(self) -> float | None:
        """Success weighted by path length: S l / max(p, l) (Anderson et al. 2018, arXiv 1807.06757, section 4).

        l is the route's length from start to goal along its waypoints (the paper's is the shortest path's), p the
        length of the path driven. None where the environment doesn't tell them.
        """
        if self.outcome is None or self.path_length is None or self.route_length is None:
            return None
        if self.outcome != SUCCESS:
            return 0.0
        return 1.0 if self.path_length <= self.route_length else self.route_length / self.path_length


def result_of(info: Mapping[str, Any], episode_return: float, length: int) -> EpisodeResult:
    """The result told by the last step's info (the names are crowd_nav's), its return and its length in steps."""

    def told(name: str) -> Any:
        value = info.get(name)
        return value.item() if isinstance(value, np.generic) else value  # a vector environment's infos are numpy's

    return EpisodeResult(
        episode_return=episode_return,
        length=length,
        outcome=told("outcome"),
        scenario=told("scenario"),
        seed=told("seed"),
        path_length=told("path_length"),
        route_length=told("route_length"),
        time_s=told("time_s"),
        min_clearance=told("min_clearance"),
        near_misses=told("near_misses"),
        faults=told("faults") or 0,
        fault=told("fault") or None,
    )


def whole(episodes: Iterable[EpisodeResult]) -> list[EpisodeResult]:
    """Those that no fault cut off."""
    return [episode for episode in episodes if episode.outcome != FAULT]
