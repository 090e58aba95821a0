"""Scaling of the observation vector in front of the policy: `obs_contract.scaling`.

`metric` makes of an observed number x the number symlog(factor * x) - offset, with symlog(y) = sign(y) ln(1 + |y|). The
factors make distances metres, so that centimetres near a wall are as visible as metres far away; the offsets put
the values around 0. Each lidar ray becomes the median of itself and its two neighbours first, which removes the rays
that miss or fall short by themselves.

The network then needs no symlog of its own: set `algo.symlog_obs=false`.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]

NONE, METRIC = "none", "metric"
RAYS = "rays"


class Column(NamedTuple):
    """One column of an entry: x becomes symlog(factor * x) - offset."""

    factor: float
    offset: float = 0.0


# linear speed / 2 m/s, yaw rate / 1 rad/s, distance to the waypoint / 50 m, bearing to it / pi, next turn / pi
DRIVE_STATE = (Column(5.0), Column(5.0), Column(50.0, 2.5), Column(10.0), Column(10.0))
RAY = Column(10.0, 1.7)  # range / 10 m
KNOWN = f"drive_state ({len(DRIVE_STATE)} columns) and rays, both within [-1, 1]"


class MetricScaling:
    """The scaling `metric` of vectors (..., O) float32 that consist of these entries.

    Attributes:
        rays: the places of each row of rays.
        factor: of each number (O,).
        offset: of each number (O,).
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Lay out the columns.

        Args:
            shapes: shape of each entry by key, in the order of the vector.
        """
        columns: list[Column] = []
        self.rays: list[slice] = []
        for key, shape in shapes.items():
            rows = int(np.prod(shape[:-1]))
            if key == RAYS:
                first = [len(columns) + row * shape[-1] for row in range(rows)]
                self.rays += [slice(start, start + shape[-1]) for start in first]
            columns += rows * (shape[-1] * [RAY] if key == RAYS else list(DRIVE_STATE))
        self.factor = np.array([column.factor for column in columns], np.float32)
        self.offset = np.array([column.offset for column in columns], np.float32)

    def apply(self, vectors: Array) -> Array:
        """Return the scaled vectors (..., O)."""
        filtered = vectors.copy()
        for rays in self.rays:
            filtered[..., rays] = median_of_neighbours(vectors[..., rays])
        return symlog(self.factor * filtered) - self.offset

    def invert(self, scaled: Array) -> Array:
        """Return the observed numbers (..., O); rays stay filtered."""
        return symexp(scaled + self.offset) / self.factor


def median_of_neighbours(rays: Array) -> Array:
    """Return the median of each ray and its two neighbours (..., R); the last ray is next to the first."""
    left, right = np.roll(rays, 1, -1), np.roll(rays, -1, -1)
    median: Array = np.maximum(np.minimum(left, right), np.minimum(np.maximum(left, right), rays))
    return median


def symlog(x: Array) -> Array:
    """Return sign(x) ln(1 + |x|)."""
    squashed: Array = np.sign(x) * np.log1p(np.abs(x))
    return squashed


def symexp(x: Array) -> Array:
    """Return the inverse of symlog."""
    restored: Array = np.sign(x) * np.expm1(np.abs(x))
    return restored


def scaling_of(name: str, shapes: Mapping[str, tuple[int, ...]]) -> MetricScaling | None:
    """Return the scaling of these entries, or None for `none`."""
    return MetricScaling(shapes) if name == METRIC else None
