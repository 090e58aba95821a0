"""Floor plans: one function for each kind of place, of the family's parameters and a random generator.

A place is centred at the origin and the robot starts in the west; `generate.py` turns and mirrors it afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from dreamer_exp.envs.crowd_nav.scenarios.layout import FloatArray

Range = tuple[float, float]
Area = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in metres."""

WALL_MARGIN = 2.5
"""Metres between the outer walls and any start, goal or turning point of a pedestrian."""


@dataclass(frozen=True)
class FloorPlan:
    """Inner walls, areas of start and goal, and the nodes of routes and walks."""

    start: Area
    goal: Area
    walls: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))
    """(W, 4) metres."""
    solids: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))
    """(B, 4): x_min, y_min, x_max, y_max of solid boxes, whose sides are among the walls."""
    route_nodes: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    """(R, 2): possible waypoints of the robot's route."""
    walks: tuple[FloatArray, ...] = ()
    """Sets of nodes (P, 2); a pedestrian stays within one set."""


Generator = Callable[[float, float, Mapping[str, Range], np.random.Generator], FloorPlan]


def arena(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return an empty room."""
    inner = _inset(length, width)
    return FloorPlan(start=inner, goal=inner, walks=(_scatter(rng, inner, 8),))


def crossing(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return a room that the robot crosses from west to east, and pedestrians on `paths` from south to north."""
    x, y = length / 2 - WALL_MARGIN, width / 2 - WALL_MARGIN
    paths = np.linspace(-0.6 * x, 0.6 * x, draw_integer(parameters["paths"], rng))
    walks = tuple(np.array([[path + rng.uniform(-1, 1), -y], [path + rng.uniform(-1, 1), y]]) for path in paths)
    return FloorPlan(start=(-x, -y, -0.75 * x, y), goal=(0.75 * x, -y, x, y), walks=walks)


def corridor(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return a corridor along which the robot drives, and pedestrians walk both ways on `paths`."""
    x, y = length / 2 - WALL_MARGIN, width / 2 - WALL_MARGIN
    paths = np.linspace(1.3 - width / 2, width / 2 - 1.3, draw_integer(parameters["paths"], rng))
    walks = tuple(np.array([[-x, path], [x, path]]) for path in paths)
    return FloorPlan(start=(-x, -y, -0.6 * x, y), goal=(0.6 * x, -y, x, y), walks=walks)


def doorway(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return two rooms with a door of width `gap` metres between them."""
    gap = draw(parameters["gap"], rng)
    door_x = rng.uniform(-0.1, 0.1) * length
    door_y = rng.uniform(-0.25, 0.25) * width
    x, y = length / 2 - WALL_MARGIN, width / 2 - WALL_MARGIN
    walls = [
        [door_x, -width / 2, door_x, door_y - gap / 2],
        [door_x, door_y + gap / 2, door_x, width / 2],
    ]
    west, east = (-x, -y, door_x - 4.0, y), (door_x + 4.0, -y, x, y)
    before, after = [door_x - 2.5, door_y], [door_x + 2.5, door_y]
    nodes = np.vstack([_scatter(rng, west, 4), _scatter(rng, east, 4), before, after])
    return FloorPlan(west, east, np.array(walls), route_nodes=np.array([before, after]), walks=(nodes,))


def intersection(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return two corridors of width `arm` that cross; the robot comes from the west and leaves by any other arm."""
    x, y = length / 2, width / 2
    half = draw(parameters["arm"], rng) / 2
    solids = np.array([[-x, -y, -half, -half], [half, -y, x, -half], [-x, half, -half, y], [half, half, x, y]])
    corners = [(sx, sy) for sx in (-1, 1) for sy in (-1, 1)]
    walls = [[sx * half, sy * half, sx * x, sy * half] for sx, sy in corners]
    walls += [[sx * half, sy * half, sx * half, sy * y] for sx, sy in corners]
    end_x, end_y, inner = x - WALL_MARGIN, y - WALL_MARGIN, half - 1.7
    goals: list[Area] = [
        (half + 3.0, -inner, end_x, inner),
        (-inner, half + 3.0, inner, end_y),
        (-inner, -end_y, inner, -half - 3.0),
    ]
    ends = [[end_x, s * half / 2] for s in (-1, 1)] + [[-end_x, s * half / 2] for s in (-1, 1)]
    ends += [[s * half / 2, end_y] for s in (-1, 1)] + [[s * half / 2, -end_y] for s in (-1, 1)]
    middle = [[sx * half / 2, sy * half / 2] for sx, sy in corners]
    return FloorPlan(
        start=(-end_x, -inner, -half - 3.0, inner),
        goal=goals[rng.integers(3)],
        walls=np.array(walls),
        solids=solids,
        route_nodes=np.zeros((1, 2)),
        walks=(np.array(ends + middle),),
    )


def blocks(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> FloorPlan:
    """Return a room with `boxes` boxes of a `side`, at least `aisle` metres apart and from the walls.

    Route nodes lie near the corners of the boxes.
    """
    boxes = _place_boxes(length, width, parameters, rng)
    inner, half_aisle = _inset(length, width), parameters["aisle"][0] / 2
    walk = np.vstack([*(_corners(box, 1.1) for box in boxes), _scatter(rng, inner, 8)])
    return FloorPlan(
        start=inner,
        goal=inner,
        walls=np.array([side for box in boxes for side in box_walls(*box)]).reshape(-1, 4),
        solids=np.array(boxes).reshape(-1, 4),
        route_nodes=np.vstack([np.zeros((0, 2)), *(_corners(box, min(1.45, half_aisle)) for box in boxes)]),
        walks=(outside(walk, boxes),),
    )


GENERATORS: dict[str, Generator] = {
    "arena": arena,
    "crossing": crossing,
    "corridor": corridor,
    "doorway": doorway,
    "intersection": intersection,
    "blocks": blocks,
}


def draw(limits: Range, rng: np.random.Generator) -> float:
    """Return a uniform number between two limits."""
    return float(rng.uniform(*limits))


def draw_integer(limits: Range, rng: np.random.Generator) -> int:
    """Return a uniform integer between two limits, both included."""
    return int(rng.integers(int(limits[0]), int(limits[1]) + 1))


def box_walls(x0: float, y0: float, x1: float, y1: float) -> list[list[float]]:
    """Return the four sides of a box as segments."""
    return [[x0, y0, x1, y0], [x1, y0, x1, y1], [x1, y1, x0, y1], [x0, y1, x0, y0]]


def outside(points: FloatArray, boxes: list[Area]) -> FloatArray:
    """Return the points (P, 2) that lie outside all boxes."""
    kept = np.ones(len(points), dtype=np.bool_)
    for box in boxes:
        kept &= ((points < box[:2]) | (points > box[2:])).any(axis=1)
    return points[kept]


def _place_boxes(length: float, width: float, parameters: Mapping[str, Range], rng: np.random.Generator) -> list[Area]:
    """Place the boxes one by one; a box without a free place after 20 tries is left out."""
    aisle = draw(parameters["aisle"], rng)
    boxes: list[Area] = []
    for _ in range(draw_integer(parameters["boxes"], rng)):
        for _ in range(20):
            half_x, half_y = draw(parameters["side"], rng) / 2, draw(parameters["side"], rng) / 2
            x = rng.uniform(half_x + aisle - length / 2, length / 2 - half_x - aisle)
            y = rng.uniform(half_y + aisle - width / 2, width / 2 - half_y - aisle)
            box = (x - half_x, y - half_y, x + half_x, y + half_y)
            if all(_gap(box, other) >= aisle for other in boxes):
                boxes.append(box)
                break
    return boxes


def _gap(a: Area, b: Area) -> float:
    """Return the larger of the gaps along x and y between two boxes; negative if they overlap."""
    return max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3])


def _corners(box: Area, offset: float) -> FloatArray:
    x0, y0, x1, y1 = box[0] - offset, box[1] - offset, box[2] + offset, box[3] + offset
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _inset(length: float, width: float) -> Area:
    x, y = length / 2 - WALL_MARGIN, width / 2 - WALL_MARGIN
    return (-x, -y, x, y)


def _scatter(rng: np.random.Generator, area: Area, count: int) -> FloatArray:
    return rng.uniform(area[:2], area[2:], size=(count, 2))
