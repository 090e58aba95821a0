"""The outcome of an episode, and the figures that its last info reports."""

from dreamer_exp.envs.crowd_nav.constants import DT, NEAR_MISS_CLEARANCE
from dreamer_exp.envs.episode import PEDESTRIAN_COLLISION, SUCCESS, TIMEOUT, WALL_COLLISION, EpisodeInfo, Outcome


def decide_outcome(*, pedestrian: bool, wall: bool, success: bool, timeout: bool) -> Outcome | None:
    """Return the outcome at this step, or None; a collision wins over success, and both win over a timeout."""
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
        """Start with a sum of zero for each term of the reward."""
        self.steps = 0
        self.path_length = 0.0
        self.min_clearance: float | None = None
        self.near_misses = 0
        self.reward_terms = dict.fromkeys(terms, 0.0)

    def add(self, distance: float, clearance: float | None, terms: dict[str, float]) -> None:
        """Add one step: metres driven, metres to the nearest pedestrian, and the terms of the reward."""
        self.steps += 1
        self.path_length += distance
        if clearance is not None:
            self.near_misses += 0.0 < clearance < NEAR_MISS_CLEARANCE
            self.min_clearance = clearance if self.min_clearance is None else min(clearance, self.min_clearance)
        for name, value in terms.items():
            self.reward_terms[name] += value

    def summary(self) -> EpisodeInfo:
        """Return the figures for the final info; `min_clearance` is None without pedestrians."""
        return {
            "path_length": self.path_length,
            "time_s": round(self.steps * DT, 6),
            "min_clearance": self.min_clearance,
            "near_misses": self.near_misses,
            "reward_terms": dict(self.reward_terms),
        }
