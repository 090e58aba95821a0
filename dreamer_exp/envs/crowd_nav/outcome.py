"""How an episode ends, and the figures that its last info reports."""

from typing import Any, Final, Literal

from dreamer_exp.envs.crowd_nav.constants import DT, NEAR_MISS_CLEARANCE

Outcome = Literal["success", "pedestrian_collision", "wall_collision", "timeout"]

SUCCESS: Final = "success"
PEDESTRIAN_COLLISION: Final = "pedestrian_collision"
WALL_COLLISION: Final = "wall_collision"
TIMEOUT: Final = "timeout"
COLLISIONS: Final = (PEDESTRIAN_COLLISION, WALL_COLLISION)


def decide_outcome(*, pedestrian: bool, wall: bool, success: bool, timeout: bool) -> Outcome | None:
    """Return how the episode ends at this step, or None; a collision outweighs success, and either a timeout."""
    if pedestrian:
        return PEDESTRIAN_COLLISION
    if wall:
        return WALL_COLLISION
    if success:
        return SUCCESS
    return TIMEOUT if timeout else None


class EpisodeRecord:
    """Sums and extremes over one episode."""

    def __init__(self, terms: tuple[str, ...]) -> None:
        """Start with zeros for the reward's named terms."""
        self.steps = 0
        self.path_length = 0.0
        self.min_clearance: float | None = None
        self.near_misses = 0
        self.reward_terms = dict.fromkeys(terms, 0.0)

    def add(self, distance: float, clearance: float | None, terms: dict[str, float]) -> None:
        """Count one step: metres driven, metres to the nearest pedestrian, the reward's terms."""
        self.steps += 1
        self.path_length += distance
        if clearance is not None:
            self.near_misses += 0.0 < clearance < NEAR_MISS_CLEARANCE
            self.min_clearance = clearance if self.min_clearance is None else min(clearance, self.min_clearance)
        for name, value in terms.items():
            self.reward_terms[name] += value

    def summary(self) -> dict[str, Any]:
        """Return the figures for the final info; `min_clearance` is None when nobody walks, as JSON has no infinity.

        `min_clearance` is the smallest distance, in metres, between the robot's surface and a pedestrian's.
        """
        return {
            "path_length": self.path_length,
            "time_s": round(self.steps * DT, 6),
            "min_clearance": self.min_clearance,
            "near_misses": self.near_misses,
            "reward_terms": dict(self.reward_terms),
        }
