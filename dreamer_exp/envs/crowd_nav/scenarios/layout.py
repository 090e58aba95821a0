"""The start of an episode: walls, the robot's pose and route, and the pedestrians' patrols."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Patrol:
    """One pedestrian: start, preferred speed, and the points between which it walks in a loop."""

    position: FloatArray
    """(2,) metres."""
    speed: float
    """m/s."""
    points: FloatArray
    """(P, 2) metres, visited in a loop; every leg keeps clear of the walls."""


@dataclass(frozen=True)
class Layout:
    """The start of an episode. Metres; radians counter-clockwise from +x."""

    scenario: str
    bounds: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max."""
    walls: FloatArray
    """(W, 4): x1, y1, x2, y2 of each segment."""
    solids: FloatArray
    """(B, 4): x_min, y_min, x_max, y_max of solid boxes, whose sides are among the walls."""
    start: tuple[float, float, float]
    """The robot's x, y and heading."""
    route: FloatArray
    """(K, 2): waypoints, the last of which is the goal."""
    patrols: tuple[Patrol, ...]

    @property
    def route_length(self) -> float:
        """Metres from the start along the waypoints to the goal."""
        points = np.vstack([self.start[:2], self.route])
        return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def turned(layout: Layout, quarters: int, mirrored: bool) -> Layout:
    """Return the layout, mirrored about the x axis if `mirrored`, then turned by quarter circles about the origin."""
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters % 4]
    flip = -1 if mirrored else 1
    matrix = np.array([[cosine, -sine * flip], [sine, cosine * flip]], dtype=np.float64)
    x, y = matrix @ np.array(layout.start[:2])
    return Layout(
        scenario=layout.scenario,
        bounds=_turn_bounds(layout.bounds, matrix),
        walls=(layout.walls.reshape(-1, 2) @ matrix.T).reshape(-1, 4),
        solids=_turn_boxes(layout.solids, matrix),
        start=(float(x), float(y), flip * layout.start[2] + quarters * np.pi / 2),
        route=layout.route @ matrix.T,
        patrols=tuple(Patrol(matrix @ p.position, p.speed, p.points @ matrix.T) for p in layout.patrols),
    )


def _turn_bounds(bounds: tuple[float, float, float, float], matrix: FloatArray) -> tuple[float, float, float, float]:
    x_min, y_min, x_max, y_max = _turn_boxes(np.array([bounds]), matrix)[0].tolist()
    return x_min, y_min, x_max, y_max


def _turn_boxes(boxes: FloatArray, matrix: FloatArray) -> FloatArray:
    corners = boxes.reshape(-1, 2, 2) @ matrix.T
    return np.hstack([corners.min(axis=1), corners.max(axis=1)])
