"""A picture of one moment of an episode, seen from above by a camera that follows the robot."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.envs.scene import LidarScan, Scene, SceneState
from dreamer_exp.palette import BLACK, BLUE, GREEN, GREY, ORANGE, SKY_BLUE, VERMILION, WHITE, lighter

SIZE = 480
"""Pixels of each side."""
SPAN_M = 24.0
"""Metres of each side: the range of a 10 m lidar in every direction."""
MARGIN_M = 1.0
"""Metres around the map."""
SMOOTHING = 2
"""Oversampling factor: Pillow's lines aren't antialiased."""
SCALE_BAR_M = 5
SHOWN_RAYS = 68
"""Most rays that are drawn as lines; all of them bound the seen area."""
AHEAD_S = 1.5
"""Seconds that a pedestrian's line looks ahead."""
MAX_SPEED = 5.0
"""m/s; a pedestrian that moved faster was put elsewhere."""

FLOOR, OUTSIDE, SOLID, WALL = WHITE, lighter(GREY, 0.7), lighter(GREY, 0.25), BLACK
SIGHT, RAY, ECHO = lighter(SKY_BLUE, 0.75), lighter(SKY_BLUE, 0.45), lighter(BLUE, 0.25)
ROUTE, GOAL_AREA = GREEN, lighter(GREEN, 0.75)
PEDESTRIAN, ROBOT, PATH = ORANGE, BLUE, lighter(BLUE, 0.4)

Points = NDArray[np.float64]
NO_PATH: Sequence[tuple[float, float]] = ()


def draw_scene(
    scene: Scene,
    state: SceneState,
    before: SceneState | None = None,
    path: Sequence[tuple[float, float]] = NO_PATH,
    *,
    lidar: bool = True,
) -> Image.Image:
    """Return the picture (SIZE x SIZE, RGB).

    Args:
        scene: the map.
        state: robot and pedestrians.
        before: the state one step earlier, which gives the directions of the pedestrians.
        path: the robot's positions so far.
        lidar: whether to draw the rays.
    """
    canvas = _Canvas(_box(scene), state.position)
    scan = state.lidar if lidar else None
    if scan is not None:
        _draw_sight(canvas, state, scan)
    for outline in scene.solids:
        canvas.polygon(outline, SOLID)
    if len(scene.route):
        _draw_route(canvas, scene, state)
    canvas.segments(scene.walls, WALL, 3)
    if scan is not None:
        for echo in _ray_ends(state, scan)[scan.ranges < scan.max_range]:
            canvas.disc(echo, 0.09, ECHO)
    if len(path) > 1:
        canvas.line(np.array(path), PATH, 2)
    _draw_pedestrians(canvas, scene, state, before)
    _draw_robot(canvas, scene, state)
    return _with_labels(canvas, scene, state)


class _Canvas:
    """A drawing surface in metres, +y upwards, whose middle is the robot or, near its end, what is left of the map."""

    def __init__(self, box: Points | None, robot: tuple[float, float]) -> None:
        self.middle = np.array(robot) if box is None else _middle(box, np.array(robot))
        self.scale = SIZE * SMOOTHING / SPAN_M
        self.image = Image.new("RGB", (SIZE * SMOOTHING, SIZE * SMOOTHING), FLOOR if box is None else OUTSIDE)
        self.pen = ImageDraw.Draw(self.image)
        if box is not None:
            low, high = self.at(box)
            self.pen.rectangle((low[0], high[1], high[0], low[1]), fill=FLOOR)

    def at(self, points: Points) -> Points:
        """Return the pixels of points (..., 2)."""
        flipped: Points = SIZE * SMOOTHING / 2 + (points - self.middle) * self.scale * (1.0, -1.0)
        return flipped

    def shows(self, point: Points) -> bool:
        """Return whether a point is inside the picture."""
        return bool(np.all(np.abs(point - self.middle) < SPAN_M / 2))

    def polygon(self, outline: Points, colour: str) -> None:
        pixels = self.at(outline)
        if _touches(pixels):
            self.pen.polygon(_flat(pixels), fill=colour)

    def line(self, points: Points, colour: str, width: int) -> None:
        self.pen.line(_flat(self.at(points)), fill=colour, width=width * SMOOTHING, joint="curve")

    def segments(self, ends: Points, colour: str, width: int) -> None:
        """Draw lines (N, 4): x1, y1, x2, y2."""
        for pixels in self.at(ends.reshape(-1, 2, 2)):
            if _touches(pixels):
                self.pen.line(_flat(pixels), fill=colour, width=width * SMOOTHING)

    def disc(self, centre: Points, radius: float, fill: str | None, edge: str | None = None, width: int = 1) -> None:
        x, y = self.at(centre).tolist()
        self.pen.circle((x, y), radius * self.scale, fill=fill, outline=edge, width=width * SMOOTHING)


def _box(scene: Scene) -> Points | None:
    """Return the lowest and the highest corner (2, 2) of walls and route; None without walls, where nothing ends."""
    if not len(scene.walls):
        return None
    points = np.concatenate([scene.walls.reshape(-1, 2), scene.route.reshape(-1, 2)])
    return np.stack([points.min(0), points.max(0)])


def _middle(box: Points, robot: Points) -> Points:
    """Return the middle of the picture: the robot, as far as the picture then shows the map and not its outside."""
    low, high = box[0] - MARGIN_M + SPAN_M / 2, box[1] + MARGIN_M - SPAN_M / 2
    fits = low >= high
    return np.where(fits, (low + high) / 2, np.clip(robot, np.minimum(low, high), np.maximum(low, high)))


def _touches(pixels: Points) -> bool:
    return bool(np.all(pixels.max(0) >= 0) and np.all(pixels.min(0) <= SIZE * SMOOTHING))


def _flat(pixels: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in pixels.tolist()]


def _ray_ends(state: SceneState, scan: LidarScan) -> Points:
    angles = state.heading + scan.angles
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    ends: Points = np.array(state.position) + scan.ranges[:, None].astype(np.float64) * directions
    return ends


def _draw_sight(canvas: _Canvas, state: SceneState, scan: LidarScan) -> None:
    """Fill the area that the rays cross, and draw some of them."""
    robot, ends = np.array(state.position), _ray_ends(state, scan)
    opening = np.ptp(scan.angles) * len(scan.angles) / max(len(scan.angles) - 1, 1)
    canvas.polygon(ends if opening > math.tau - 1e-3 else np.vstack([robot, ends]), SIGHT)
    every = -(-len(ends) // SHOWN_RAYS)
    rays = np.concatenate([np.broadcast_to(robot, ends.shape), ends], -1)
    canvas.segments(rays[::every], RAY, 1)


def _draw_route(canvas: _Canvas, scene: Scene, state: SceneState) -> None:
    """Draw the route as a dashed line, waypoints as rings, and the goal as a target."""
    *waypoints, goal = scene.route
    canvas.disc(goal, scene.goal_radius, GOAL_AREA, ROUTE, 2)
    for start, end in zip(scene.route[:-1], scene.route[1:], strict=True):
        _dash(canvas, start, end)
    for waypoint in waypoints:
        canvas.disc(waypoint, 0.3, FLOOR, ROUTE, 2)
    canvas.disc(goal, 0.5, ROUTE)
    canvas.disc(goal, 0.25, WHITE)


def _dash(canvas: _Canvas, start: Points, end: Points) -> None:
    length = float(np.linalg.norm(end - start))
    begins = np.arange(0.0, length, 0.8)
    if length:
        shares = np.stack([begins, np.minimum(begins + 0.45, length)], -1) / length
        points = start + shares[..., None] * (end - start)
        canvas.segments(points.reshape(-1, 4), ROUTE, 2)


def _draw_pedestrians(canvas: _Canvas, scene: Scene, state: SceneState, before: SceneState | None) -> None:
    """Draw discs, each with a line to its position in AHEAD_S seconds."""
    radius = scene.pedestrian_radius or 0.3
    people = state.pedestrians
    moved = np.zeros_like(people)
    if before is not None and len(before.pedestrians) == len(people) and state.time_s > before.time_s:
        moved = (people - before.pedestrians) / (state.time_s - before.time_s)  # m/s
        moved[np.linalg.norm(moved, axis=-1) > MAX_SPEED] = 0.0
    canvas.segments(np.concatenate([people, people + AHEAD_S * moved], -1), VERMILION, 2)
    for person in people:
        canvas.disc(person, radius, PEDESTRIAN, BLACK)


def _draw_robot(canvas: _Canvas, scene: Scene, state: SceneState) -> None:
    """Draw a disc with an arrow head along the heading."""
    radius, position = scene.robot_radius or 0.3, np.array(state.position)
    canvas.disc(position, radius, ROBOT, BLACK)
    arrow = radius * np.array([(0.8, 0.0), (-0.45, 0.5), (-0.2, 0.0), (-0.45, -0.5)])
    cosine, sine = math.cos(state.heading), math.sin(state.heading)
    canvas.polygon(position + arrow @ np.array([[cosine, sine], [-sine, cosine]]), WHITE)


def _with_labels(canvas: _Canvas, scene: Scene, state: SceneState) -> Image.Image:
    """Return the picture in its final size, with a bar of SCALE_BAR_M and the way to a goal that is out of sight."""
    image = canvas.image.reduce(SMOOTHING)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    length = SCALE_BAR_M * SIZE / SPAN_M
    x, y = SIZE - 12 - length, SIZE - 12
    pen.rectangle((x - 2, y - 3, x + length + 2, y + 3), fill=WHITE)
    pen.rectangle((x, y - 1, x + length, y + 1), fill=BLACK)
    label = (x + length / 2, y - 5), f"{SCALE_BAR_M} m"
    pen.rectangle(pen.textbbox(*label, font=font, anchor="ms"), fill=WHITE)  # a wall would show between the words
    pen.text(*label, fill=BLACK, font=font, anchor="ms", stroke_width=2, stroke_fill=WHITE)
    if len(scene.route) and not canvas.shows(scene.route[-1]):
        _point_to_goal(pen, canvas, scene, state)
    return image


def _point_to_goal(pen: ImageDraw.ImageDraw, canvas: _Canvas, scene: Scene, state: SceneState) -> None:
    """Draw an arrow at the edge of the picture, and the metres from the robot to the goal in a straight line."""
    goal = scene.route[-1]
    way = (goal - canvas.middle) * (1.0, -1.0)
    way /= np.abs(way).max()  # to the edge of a square
    tip, direction = SIZE / 2 + way * (SIZE / 2 - 8), way / np.linalg.norm(way)
    across = np.array([-direction[1], direction[0]])
    pen.polygon(_flat(np.stack([tip, tip - 18 * direction + 10 * across, tip - 18 * direction - 10 * across])), ROUTE)
    label = f"goal {math.dist(goal.tolist(), state.position):.0f} m"
    width, height = 34, 9  # of half the label
    away = 22 + abs(direction[0]) * width + abs(direction[1]) * height
    x, y = np.clip(tip - away * direction, (width + 2, height + 2), (SIZE - width - 2, SIZE - height - 2)).tolist()
    pen.rectangle((x - width, y - height, x + width, y + height), fill=WHITE, outline=ROUTE)
    pen.text((x, y), label, fill=BLACK, font=ImageFont.load_default(13), anchor="mm")
