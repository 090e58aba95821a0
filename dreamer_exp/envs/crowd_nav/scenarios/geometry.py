"""Distances between points, segments and walls, vectorised."""

import numpy as np

from dreamer_exp.envs.crowd_nav.scenarios.layout import FloatArray


class WallDistance:
    """Distance from a point to the nearest of fixed segments; what depends on the segments alone is precomputed."""

    def __init__(self, walls: FloatArray) -> None:
        """Precompute for segments (W, 4)."""
        self._x, self._y = walls[:, 0].copy(), walls[:, 1].copy()
        self._dx, self._dy = walls[:, 2] - walls[:, 0], walls[:, 3] - walls[:, 1]
        self._inverse = 1.0 / (self._dx**2 + self._dy**2)

    def __call__(self, x: float, y: float) -> float:
        """Return the distance in metres; 0 on a segment."""
        px, py = x - self._x, y - self._y
        along = (px * self._dx + py * self._dy) * self._inverse
        along = np.minimum(np.maximum(along, 0.0), 1.0)
        px -= along * self._dx
        py -= along * self._dy
        return float(np.sqrt((px * px + py * py).min()))


def points_to_segments(points: FloatArray, segments: FloatArray) -> FloatArray:
    """Return the distances (P, S) between points (P, 2) and segments (S, 4), in metres."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    offset = points[:, None, :] - start[None]
    length = np.maximum((along**2).sum(-1), 1e-12)
    share = np.clip((offset * along[None]).sum(-1) / length, 0.0, 1.0)
    return np.linalg.norm(offset - share[..., None] * along[None], axis=-1)  # type: ignore[no-any-return]  # numpy's stub


def segments_to_segments(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the distances (F, S) between segments (F, 4) and (S, 4), in metres; 0 where they cross."""
    distance = np.minimum(
        np.minimum(points_to_segments(first[:, :2], second), points_to_segments(first[:, 2:], second)),
        np.minimum(points_to_segments(second[:, :2], first).T, points_to_segments(second[:, 2:], first).T),
    )
    distance[_cross(first, second)] = 0.0
    return distance


def _cross(first: FloatArray, second: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    a, b = first[:, None, :2], first[:, None, 2:]
    c, d = second[None, :, :2], second[None, :, 2:]
    split_second = _side(a, b, c) * _side(a, b, d) < 0
    split_first = _side(c, d, a) * _side(c, d, b) < 0
    crossing: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = split_second & split_first
    return crossing


def _side(a: FloatArray, b: FloatArray, point: FloatArray) -> FloatArray:
    """Return the signed area, whose sign is the side of the line a-b on which the point lies."""
    return (b[..., 0] - a[..., 0]) * (point[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (point[..., 0] - a[..., 0])
