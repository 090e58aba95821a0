"""`env.ranges`: what is drawn for an episode in addition to its layout, as domain randomisation.

The draws come from a generator of their own, so that ranges of one value leave all other draws of the seed as they are.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.crowd_nav.config import CrowdNavRanges
from dreamer_exp.envs.crowd_nav.constants import (
    PEDESTRIAN_MAX_SPEED,
    PEDESTRIAN_SPEED,
    RAY_MISS_PROBABILITY,
    RAY_SHORT_PROBABILITY,
    ROUTE_CLEARANCE,
    START_CLEARANCE,
)

STREAM = 1  # spawn key of the episode's seed
BOUNDS = {
    "pedestrian_speed": (0.1, 2.0),
    "ray_miss": (0.0, 0.5),
    "ray_short": (0.0, 0.5),
    "passage_scale": (0.25, 1.5),
    "wall_clearance": (0.05, 0.5),
    "start_clearance": (0.2, 4.0),
}


@dataclass(frozen=True)
class Difficulty:
    """The values of one episode."""

    pedestrian_speed: tuple[float, float] = (PEDESTRIAN_SPEED, PEDESTRIAN_MAX_SPEED)
    ray_miss: float = RAY_MISS_PROBABILITY
    ray_short: float = RAY_SHORT_PROBABILITY
    passage_scale: float = 1.0
    wall_clearance: float = ROUTE_CLEARANCE
    start_clearance: float = START_CLEARANCE


def ranges_of(given: CrowdNavRanges | Mapping[str, list[float]] | None) -> CrowdNavRanges:
    """Return the ranges: those given, or the defaults with the changes of a mapping.

    Raises:
        UserError: a mapping names a range that doesn't exist, or a range is out of order or of its bounds.
    """
    if not isinstance(given, CrowdNavRanges):
        for name in given or {}:
            if name not in BOUNDS:
                raise UserError(f"env.ranges.{name}: no such range.{nearest(name, tuple(BOUNDS))}")
        given = replace(CrowdNavRanges(), **dict(given or {}))
    check_ranges(given)
    return given


def check_ranges(ranges: CrowdNavRanges) -> None:
    """Raise UserError unless each range is [low, high] within its bounds."""
    for name in (declared.name for declared in fields(ranges)):
        given, (least, most) = getattr(ranges, name), BOUNDS[name]
        if not (_is_range(given) and least <= given[0] and given[1] <= most):
            raise UserError(f"env.ranges.{name}={list(given)}: give [low, high], from {least:g} to {most:g}.")


def draw_difficulty(ranges: CrowdNavRanges, seed: int) -> Difficulty:
    """Return the values of the episode of this seed."""
    rng = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(STREAM,)))
    low, high = ranges.pedestrian_speed
    return Difficulty(
        (low, high),
        _draw(ranges.ray_miss, rng),
        _draw(ranges.ray_short, rng),
        _draw(ranges.passage_scale, rng),
        _draw(ranges.wall_clearance, rng),
        _draw(ranges.start_clearance, rng),
    )


def _draw(limits: Sequence[float], rng: np.random.Generator) -> float:
    low, high = limits
    drawn = float(rng.uniform(low, high))  # also of one value, so that ranges do not move each other's draws
    return float(low) if low == high else drawn


def _is_range(given: Sequence[float]) -> bool:
    return len(given) == 2 and all(map(math.isfinite, given)) and given[0] <= given[1]
