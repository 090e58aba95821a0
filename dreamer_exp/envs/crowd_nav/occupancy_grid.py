"""Occupancy grid around the robot, cell for cell as Robot SF draws it (40d0854): obstacles, pedestrians and both.

One difference: Robot SF leaves out a line whose cut end is outside of the grid by a rounding error.

The grid is in the robot's frame: x is forward and grows with the column, y is left and grows with the row.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.constants import PEDESTRIAN_RADIUS
from dreamer_exp.envs.crowd_nav.kinematics import RobotState
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray, Layout

RESOLUTION = 0.2
"""Metres of a cell's side."""
OBSTACLES, PEDESTRIANS, BOTH = range(3)

Ints = NDArray[np.int64]


class OccupancyGrid:
    """Draws the cells (3, N, N), 0 or 1, of a square of this width in metres; the robot is in its middle."""

    def __init__(self, width_m: float) -> None:
        """Compute the centres of the cells."""
        self.width_m = width_m
        self.cells = math.ceil(width_m / RESOLUTION)
        self._centres = -width_m / 2 + (np.arange(self.cells) + 0.5) * RESOLUTION

    def draw(self, layout: Layout, robot: RobotState, pedestrians: FloatArray) -> Float32Array:
        """Return the cells around the robot; pedestrians (P, 2) in metres."""
        grid = np.zeros((3, self.cells, self.cells), np.float32)
        self._draw_solids(grid[OBSTACLES], layout.solids, robot)
        walls = _to_robot(layout.walls.reshape(-1, 2), robot).reshape(-1, 4)
        rows, columns = self._cells_of_lines(walls)
        grid[OBSTACLES, rows, columns] = 1.0
        self._draw_circles(grid[PEDESTRIANS], _to_robot(pedestrians, robot))
        np.maximum(grid[OBSTACLES], grid[PEDESTRIANS], out=grid[BOTH])
        return grid

    def _draw_solids(self, channel: Float32Array, solids: FloatArray, robot: RobotState) -> None:
        """Set the cells whose centres are in a box (B, 4) of the world."""
        if not len(solids):
            return
        cosine, sine = math.cos(robot.heading), math.sin(robot.heading)
        ahead, left = self._centres[None, :], self._centres[:, None]
        x, y = robot.x + cosine * ahead - sine * left, robot.y + sine * ahead + cosine * left
        for x_min, y_min, x_max, y_max in solids.tolist():
            channel[(x > x_min) & (x < x_max) & (y > y_min) & (y < y_max)] = 1.0

    def _draw_circles(self, channel: Float32Array, centres: FloatArray) -> None:
        """Set the cells whose lower corners are within a pedestrian's circle."""
        radius = PEDESTRIAN_RADIUS / RESOLUTION
        places = (centres + self.width_m / 2) / RESOLUTION
        near = ((places > -radius) & (places < self.cells + radius)).all(1)
        index = np.arange(self.cells)
        for column, row in places[near].tolist():
            rows, columns = (index - row) ** 2, (index - column) ** 2
            channel[rows[:, None] + columns[None, :] <= radius**2] = 1.0

    def _cells_of_lines(self, lines: FloatArray) -> tuple[Ints, Ints]:
        """Return rows and columns of Bresenham's lines, for segments (L, 4) cut at the border."""
        half = self.width_m / 2
        cut = _clipped(lines, half)
        # (L,) each
        columns, rows, last_columns, last_rows = np.minimum(((cut + half) / RESOLUTION).astype(int), self.cells - 1).T
        wide, high = abs(last_columns - columns), abs(last_rows - rows)
        longer, shorter = np.maximum(wide, high), np.minimum(wide, high)
        # (L, N), masked beyond the end of each line
        step = np.arange(self.cells)[None, :]
        inside = step <= longer[:, None]
        aside = (2 * step * shorter[:, None] + np.maximum(longer - 1, 0)[:, None]) // np.maximum(2 * longer, 1)[:, None]
        is_wide = (wide >= high)[:, None]
        across, along = np.where(is_wide, step, aside), np.where(is_wide, aside, step)
        towards_columns = np.where(columns < last_columns, 1, -1)[:, None]
        towards_rows = np.where(rows < last_rows, 1, -1)[:, None]
        return (rows[:, None] + towards_rows * along)[inside], (columns[:, None] + towards_columns * across)[inside]


def _to_robot(points: FloatArray, robot: RobotState) -> FloatArray:
    """Return points (N, 2) of the world in the robot's frame."""
    cosine, sine = math.cos(robot.heading), math.sin(robot.heading)
    x, y = points[:, 0] - robot.x, points[:, 1] - robot.y
    return np.stack([cosine * x + sine * y, cosine * y - sine * x], 1)


def _clipped(lines: FloatArray, half: float) -> FloatArray:
    """Return the segments (L, 4) within the square [-half, half]^2, without those outside (Liang-Barsky)."""
    start, end = lines[:, :2], lines[:, 2:]
    change = end - start
    # (L, 4): direction and distance to each side of the square
    towards = np.concatenate([-change, change], 1)
    distance = np.concatenate([start + half, half - start], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = distance / towards
    first = np.where(towards < 0, ratio, 0.0).max(1).clip(0.0)
    last = np.where(towards > 0, ratio, 1.0).min(1).clip(max=1.0)
    outside = ((towards == 0) & (distance < 0)).any(1) | (first > last)
    first, last, start, change = first[~outside, None], last[~outside, None], start[~outside], change[~outside]
    return np.concatenate([start + first * change, start + last * change], 1)
