"""The shortest path of a robot that visits regions around its waypoints, the reference of SPL."""

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.scenarios.geometry import segments_to_segments

Floats = NDArray[np.float64]

ANGLES = np.arange(16) * (2 * np.pi / 16)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
DISC = np.vstack([np.zeros((1, 2)), CIRCLE / 3, 2 * CIRCLE / 3, CIRCLE])
"""Points of the unit disc between which legs are drawn at first."""
REFINEMENTS = (1 / 4, 1 / 12)
"""Radii of the discs around the best points, relative to the waypoint's, in which better ones are searched."""


def shortest_path_length(
    start: tuple[float, float], route: Floats, radius: float, walls: Floats, clearance: float
) -> float:
    """Return the length in metres of the shortest path that reaches every waypoint in turn.

    A waypoint is reached within `radius` of it, so the path may cut corners, and it ends at the edge of the goal
    region. It has straight legs from region to region. The points in the regions are searched on a grid that is refined
    twice, so that the length exceeds the optimum by some centimetres where the path bends around walls, and by some
    millimetres elsewhere. Where no leg into a region keeps the clearance, walls are ignored.

    Args:
        start: x and y in metres.
        route: (K, 2) waypoints, the last of which is the goal.
        radius: metres within which a waypoint is reached.
        walls: (W, 4) segments x1, y1, x2, y2.
        clearance: metres between the path and any wall: the robot's radius.
    """
    first = np.array([start], np.float64)
    near = _walls_near_legs(np.vstack([first, route]), walls, radius + clearance)
    regions = [waypoint + radius * DISC for waypoint in route]
    regions[0] = np.vstack([regions[0], _clip(first, route[0], radius)])
    length, path = _best_path(first, regions, near, clearance)
    for scale in REFINEMENTS:
        regions = [
            _clip(point + scale * radius * DISC, waypoint, radius) for point, waypoint in zip(path, route, strict=True)
        ]
        length, path = _best_path(first, regions, near, clearance)
    return length


def _walls_near_legs(points: Floats, walls: Floats, distance: float) -> list[Floats]:
    """Return the walls within this distance of each leg between neighbouring points."""
    legs = np.hstack([points[:-1], points[1:]])
    near = segments_to_segments(legs, walls) <= distance if len(walls) else np.zeros((len(legs), 0), np.bool_)
    return [walls[of_leg] for of_leg in near]


def _best_path(
    start: Floats, regions: list[Floats], near: list[Floats], clearance: float
) -> tuple[float, list[Floats]]:
    """Return the length and the points of the shortest path over one point of each region (P, 2)."""
    points, lengths = start, np.zeros(1)
    before: list[NDArray[np.intp]] = []
    for region, walls in zip(regions, near, strict=True):
        legs = np.linalg.norm(points[:, None] - region[None], axis=-1)  # (points, region)
        free = _are_free(points, region, walls, clearance) & np.isfinite(lengths)[:, None]
        totals = lengths[:, None] + (np.where(free, legs, np.inf) if free.any() else legs)
        before.append(totals.argmin(axis=0))
        points, lengths = region, totals.min(axis=0)
    place = int(lengths.argmin())
    path = []
    for region, previous in zip(reversed(regions), reversed(before), strict=True):
        path.append(region[place])
        place = int(previous[place])
    return float(lengths.min()), path[::-1]


def _clip(points: Floats, centre: Floats, radius: float) -> Floats:
    """Return the points, those outside of the disc moved to its edge."""
    offsets = points - centre
    distances = np.linalg.norm(offsets, axis=1, keepdims=True)
    clipped: Floats = centre + offsets * np.minimum(1.0, radius / np.maximum(distances, 1e-12))
    return clipped


def _are_free(starts: Floats, ends: Floats, walls: Floats, clearance: float) -> NDArray[np.bool_]:
    """Return (S, E): whether the leg from each start to each end keeps the clearance from all walls."""
    if not len(walls):
        return np.ones((len(starts), len(ends)), np.bool_)
    legs = np.hstack([np.repeat(starts, len(ends), axis=0), np.tile(ends, (len(starts), 1))])
    free: NDArray[np.bool_] = segments_to_segments(legs, walls).min(axis=1) >= clearance
    return free.reshape(len(starts), len(ends))
