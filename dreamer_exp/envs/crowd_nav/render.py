"""A picture of the scene from above: floor, walls, lidar, route, pedestrians and robot."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dreamer_exp.envs.crowd_nav.constants import (
    LIDAR_RANGE,
    PEDESTRIAN_RADIUS,
    RAY_OFFSETS_START,
    RAYS,
    ROBOT_RADIUS,
    WAYPOINT_RADIUS,
)
from dreamer_exp.envs.crowd_nav.kinematics import RobotState
from dreamer_exp.envs.crowd_nav.route import Route
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray, Layout
from dreamer_exp.envs.crowd_nav.simulator import Simulator

SIZE = 480
"""Pixels of each side."""
SMOOTHING = 2
"""Oversampling factor: Pillow's lines aren't antialiased."""
MARGIN = 12
"""Pixels around the arena."""

OUTSIDE, FLOOR, WALL = (222, 221, 216), (252, 251, 248), (44, 48, 56)
SIGHT, RAY, ECHO = (222, 238, 248), (196, 223, 241), (86, 160, 210)
ROUTE, GOAL = (0, 158, 115), (206, 238, 226)
# Orange against blue: Okabe and Ito's colour-blind-safe palette.
PEDESTRIAN, PEDESTRIAN_EDGE, ROBOT, WHITE = (230, 129, 20), (150, 74, 0), (0, 94, 162), (255, 255, 255)

Point = tuple[float, float]
Colour = tuple[int, int, int]


def draw_scene(simulator: Simulator, layout: Layout, route: Route, rays: Float32Array) -> NDArray[np.uint8]:
    """Return the scene as (480, 480, 3) uint8; `rays` are the newest, noisy, normalised ranges (272,)."""
    canvas = _Canvas(layout.bounds)
    canvas.box(layout.bounds, FLOOR)
    _draw_lidar(canvas, simulator.robot, rays)
    _draw_route(canvas, simulator.robot, route)
    for solid in layout.solids.tolist():
        canvas.box(solid, OUTSIDE)
    for wall in simulator.walls:
        canvas.line([(wall[0], wall[1]), (wall[2], wall[3])], WALL, 4)
    for position, velocity in zip(*simulator.pedestrians, strict=True):
        _draw_pedestrian(canvas, position, velocity)
    _draw_robot(canvas, simulator.robot)
    return canvas.pixels()


class _Canvas:
    """A drawing surface in metres, +y upwards, that fits the arena into the picture."""

    def __init__(self, bounds: tuple[float, float, float, float]) -> None:
        x_min, y_min, x_max, y_max = bounds
        self.image = Image.new("RGB", (SIZE * SMOOTHING, SIZE * SMOOTHING), OUTSIDE)
        self.pen = ImageDraw.Draw(self.image)
        self.scale = (SIZE - 2 * MARGIN) * SMOOTHING / max(x_max - x_min, y_max - y_min)
        self.centre = ((x_min + x_max) / 2, (y_min + y_max) / 2)

    def at(self, point: Point) -> Point:
        middle = SIZE * SMOOTHING / 2
        x, y = point
        return middle + (x - self.centre[0]) * self.scale, middle - (y - self.centre[1]) * self.scale

    def box(self, corners: Sequence[float], colour: Colour) -> None:
        x_min, y_min, x_max, y_max = corners
        left, top = self.at((x_min, y_max))
        right, bottom = self.at((x_max, y_min))
        self.pen.rectangle((left, top, right, bottom), fill=colour)

    def line(self, points: list[Point], colour: Colour, width: int) -> None:
        self.pen.line([self.at(point) for point in points], fill=colour, width=width * SMOOTHING, joint="curve")

    def disc(
        self,
        centre: Point,
        radius: float,
        fill: Colour | None,
        edge: Colour | None = None,
        width: int = 1,
    ) -> None:
        x, y = self.at(centre)
        self.pen.circle((x, y), radius * self.scale, fill=fill, outline=edge, width=width * SMOOTHING)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        self.pen.polygon([self.at(point) for point in points], fill=fill)

    def pixels(self) -> NDArray[np.uint8]:
        return np.asarray(self.image.reduce(SMOOTHING), dtype=np.uint8)


def _draw_lidar(canvas: _Canvas, robot: RobotState, rays: Float32Array) -> None:
    angles = robot.heading + RAY_OFFSETS_START + np.arange(RAYS) * (math.tau / RAYS)
    ranges = rays.astype(np.float64) * LIDAR_RANGE
    x, y = robot.x + ranges * np.cos(angles), robot.y + ranges * np.sin(angles)
    ends: list[Point] = list(zip(x.tolist(), y.tolist(), strict=True))
    canvas.polygon(ends, SIGHT)
    for end in ends[::4]:
        canvas.line([(robot.x, robot.y), end], RAY, 1)
    for end, ray in zip(ends, rays, strict=True):
        if ray < 1.0:
            canvas.disc(end, 0.09, ECHO)


def _draw_route(canvas: _Canvas, robot: RobotState, route: Route) -> None:
    """Draw the remaining route as a dashed line, waypoints as rings, and the goal as a target."""
    goal = route.waypoints[-1]
    canvas.disc(goal, WAYPOINT_RADIUS, GOAL, ROUTE, 2)
    ahead = route.waypoints[route.index :]
    for start, end in zip([(robot.x, robot.y), *ahead], ahead, strict=False):
        _dash(canvas, start, end)
    for waypoint in ahead[:-1]:
        canvas.disc(waypoint, 0.35, FLOOR, ROUTE, 2)
    canvas.disc(goal, 0.45, ROUTE)
    canvas.disc(goal, 0.2, WHITE)


def _dash(canvas: _Canvas, start: Point, end: Point) -> None:
    length = math.dist(start, end)
    step = 0.7
    for index in range(int(length / step) + 1):
        a, b = index * step, min(index * step + 0.4, length)
        if a < b:
            canvas.line([_between(start, end, a / length), _between(start, end, b / length)], ROUTE, 2)


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _draw_pedestrian(canvas: _Canvas, position: FloatArray, velocity: FloatArray) -> None:
    """Draw a disc, and a line to the position in 1.5 s."""
    x, y = float(position[0]), float(position[1])
    ahead = (x + 1.5 * float(velocity[0]), y + 1.5 * float(velocity[1]))
    canvas.line([(x, y), ahead], PEDESTRIAN_EDGE, 2)
    canvas.disc((x, y), PEDESTRIAN_RADIUS, PEDESTRIAN, PEDESTRIAN_EDGE, 1)


def _draw_robot(canvas: _Canvas, robot: RobotState) -> None:
    """Draw a disc with an arrow head along the heading."""
    canvas.disc((robot.x, robot.y), ROBOT_RADIUS, ROBOT, WHITE, 1)
    arrow = [(0.8, 0.0), (-0.45, 0.5), (-0.2, 0.0), (-0.45, -0.5)]
    cosine, sine = math.cos(robot.heading), math.sin(robot.heading)
    canvas.polygon([(robot.x + a * cosine - b * sine, robot.y + a * sine + b * cosine) for a, b in arrow], WHITE)
