"""The outcome of an episode, under the same names for every environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict

import numpy as np

Outcome: TypeAlias = Literal["success", "timeout", "pedestrian_collision", "wall_collision", "robot_collision", "fault"]
SUCCESS: Final = "success"
TIMEOUT: Final = "timeout"
PEDESTRIAN_COLLISION: Final = "pedestrian_collision"
WALL_COLLISION: Final = "wall_collision"
ROBOT_COLLISION: Final = "robot_collision"
FAULT: Final = "fault"
"""The observation or the reward broke the contract (fault_guard.py)."""
COLLISIONS: Final = (PEDESTRIAN_COLLISION, WALL_COLLISION, ROBOT_COLLISION)


class EpisodeInfo(TypedDict, total=False):
    """What `info` holds at the last step of an episode; every key is optional, and other keys are ignored.

    A figure that the environment doesn't report is missing from the evaluation: without `outcome` there are no success
    rates, without `path_length` there is no SPL.
    """

    outcome: Outcome
    """How the episode ended; `fault` is written by the fault guard alone."""
    scenario: str
    """The kind of episode, as a name; pictures of the driven paths are grouped by it."""
    seed: int
    """The seed that, given to `reset`, repeats the episode."""
    path_length: float
    """Metres driven."""
    route_length: float
    """Metres from the start along the waypoints to the goal."""
    shortest_path_length: float
    """Metres of the shortest path from the start into the goal region; without it, the evaluation computes it from the
    scene (envs/scene.py)."""
    time_s: float
    """Simulated seconds."""
    min_clearance: float | None
    """Least distance in metres between the surfaces of robot and pedestrians; None without pedestrians."""
    near_misses: int
    """Steps that were a near miss, by the environment's definition."""
    reward_terms: dict[str, float]
    """The sum of each term of the reward."""
    faults: int
    """Faults since the last finished episode; written by the fault guard."""
    fault: str
    """The message of the last of them; written by the fault guard."""


@dataclass(frozen=True)
class EpisodeResult:
    """One finished episode. Fields that the environment doesn't report are None; units as in EpisodeInfo."""

    episode_return: float
    length: int
    outcome: str | None = None
    scenario: str | None = None
    seed: int | None = None
    path_length: float | None = None
    route_length: float | None = None
    shortest_path_length: float | None = None
    time_s: float | None = None
    min_clearance: float | None = None
    near_misses: int | None = None
    faults: int = 0
    fault: str | None = None
    impossible: bool = False
    """Whether it was in collision after the first step whatever the action; measured by an evaluation."""
    social: dict[str, float | None] | None = None
    """Social metrics by name (docs/metrics.md); measured by an evaluation of an environment that reports its state."""

    @property
    def collided(self) -> bool:
        """Whether any kind of collision ended the episode."""
        return self.outcome in COLLISIONS

    @property
    def spl(self) -> float | None:
        """Success weighted by path length: S l / max(p, l) (Anderson et al. 2018, arXiv 1807.06757, section 4).

        l is the length of the shortest path into the goal region, where an episode ends, and p that of the driven path.
        The route along the waypoints stands for the shortest path where only that is known. None without both lengths.
        """
        shortest = self.route_length if self.shortest_path_length is None else self.shortest_path_length
        if self.outcome is None or self.path_length is None or shortest is None:
            return None
        if self.outcome != SUCCESS:
            return 0.0
        return 1.0 if self.path_length <= shortest else shortest / self.path_length


def result_of(info: Mapping[str, Any], episode_return: float, length: int) -> EpisodeResult:
    """Return the result of an episode from its last info (EpisodeInfo), its return and its length in steps."""

    def reported(name: str) -> Any:
        value = info.get(name)
        return value.item() if isinstance(value, np.generic) else value  # infos of a vector environment are numpy's

    return EpisodeResult(
        episode_return=episode_return,
        length=length,
        outcome=reported("outcome"),
        scenario=reported("scenario"),
        seed=reported("seed"),
        path_length=reported("path_length"),
        route_length=reported("route_length"),
        shortest_path_length=reported("shortest_path_length"),
        time_s=reported("time_s"),
        min_clearance=reported("min_clearance"),
        near_misses=reported("near_misses"),
        faults=reported("faults") or 0,
        fault=reported("fault") or None,
    )


def without_faults(episodes: Iterable[EpisodeResult]) -> list[EpisodeResult]:
    """Return the episodes that no fault ended."""
    return [episode for episode in episodes if episode.outcome != FAULT]
