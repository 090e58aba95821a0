"""How an episode ended, in the same words for every environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUCCESS, TIMEOUT = "success", "timeout"
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

    @property
    def collided(self) -> bool:
        """Whether any kind of collision ended the episode."""
        return self.outcome in COLLISIONS


def result_of(info: Mapping[str, Any], episode_return: float, length: int) -> EpisodeResult:
    """The result told by the last step's info (the names are crowd_nav's), its return and its length in steps."""
    return EpisodeResult(
        episode_return=episode_return,
        length=length,
        outcome=info.get("outcome"),
        scenario=info.get("scenario"),
        seed=info.get("seed"),
        path_length=info.get("path_length"),
        route_length=info.get("route_length"),
        time_s=info.get("time_s"),
        min_clearance=info.get("min_clearance"),
        near_misses=info.get("near_misses"),
    )
