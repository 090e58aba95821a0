"""From a family and a random generator to a layout: floor, route, pedestrians, then a turn and a flip."""

import math
from dataclasses import replace

import numpy as np

from dreamer_exp.envs.crowd_nav.constants import (
    PEDESTRIAN_RADIUS,
    ROBOT_RADIUS,
)
from dreamer_exp.envs.crowd_nav.ranges import Difficulty
from dreamer_exp.envs.crowd_nav.scenarios.families import Family
from dreamer_exp.envs.crowd_nav.scenarios.floors import (
    GENERATORS,
    Area,
    FloorPlan,
    Range,
    box_walls,
    draw,
    draw_integer,
)
from dreamer_exp.envs.crowd_nav.scenarios.geometry import points_to_segments
from dreamer_exp.envs.crowd_nav.scenarios.graph import WaypointGraph
from dreamer_exp.envs.crowd_nav.scenarios.layout import FloatArray, Layout, Patrol, turned

STRAY = 0.5
"""Largest distance in metres between a turning point of a pedestrian and the node of its graph."""
WALK_CLEARANCE = PEDESTRIAN_RADIUS + STRAY + 0.15
"""Metres between an edge of the pedestrians' graph and any wall."""
PEDESTRIAN_SPACING = 0.3
"""Metres between the surfaces of two pedestrians at the start."""
WALK_STEPS = 6
PASSAGES = ("gap", "aisle")
"""Parameters of the families that are widths of passages in metres."""
PASSAGE_MARGIN = 0.1
"""Metres that a passage is wider than the robot with its clearance on both sides."""
USUAL = Difficulty()
FLOOR_TRIES, ROUTE_TRIES, PEDESTRIAN_TRIES = 50, 20, 20


def generate_layout(family: Family, rng: np.random.Generator, difficulty: Difficulty = USUAL) -> Layout:
    """Return a layout of the family, which depends on the generator's state and the difficulty alone.

    Raises:
        RuntimeError: no route within the limits of the family was found; its parameters contradict each other.
    """
    family, clearance = _with_passages(family, difficulty), ROBOT_RADIUS + difficulty.wall_clearance
    for _ in range(FLOOR_TRIES):
        length, width = draw(family.length, rng), draw(family.width, rng)
        floor = GENERATORS[family.generator](length, width, family.parameters, rng)
        walls = np.vstack([box_walls(-length / 2, -width / 2, length / 2, width / 2), floor.walls])
        points = _find_route(family, floor, walls, clearance, rng)
        if points is not None:
            break
    else:
        raise RuntimeError(f"scenario family {family.name}: no route in {FLOOR_TRIES} floor plans")
    start = (*points[0].tolist(), _first_heading(points, family.heading_error, rng))
    patrols = _place_pedestrians(draw_integer(family.pedestrians, rng), floor, walls, points[0], difficulty, rng)
    bounds = (-length / 2, -width / 2, length / 2, width / 2)
    layout = Layout(family.name, bounds, walls, floor.solids, start, points[1:], patrols)
    return turned(layout, int(rng.integers(4)), bool(rng.integers(2)))


def _with_passages(family: Family, difficulty: Difficulty) -> Family:
    """Return the family with doors and aisles of the episode's width, wide enough for the robot and its clearance."""
    least = 2 * (ROBOT_RADIUS + difficulty.wall_clearance) + PASSAGE_MARGIN
    scaled = {
        name: (max(least, low * difficulty.passage_scale), max(least, high * difficulty.passage_scale))
        for name, (low, high) in family.parameters.items()
        if name in PASSAGES
    }
    return replace(family, parameters={**family.parameters, **scaled}) if difficulty.passage_scale != 1.0 else family


def _find_route(
    family: Family, floor: FloorPlan, walls: FloatArray, clearance: float, rng: np.random.Generator
) -> FloatArray | None:
    """Return start, waypoints and goal (K + 1, 2), or None if no draw meets the limits of the family.

    `clearance` is the least distance in metres between their lines and any wall.
    """
    for _ in range(ROUTE_TRIES):
        ends = np.array([_point_in(floor.start, rng), _point_in(floor.goal, rng)])
        if np.linalg.norm(ends[0] - ends[1]) < family.route_length[0]:
            continue
        if points_to_segments(ends, walls).min() < clearance:
            continue
        graph = WaypointGraph(np.vstack([ends, floor.route_nodes]), walls, clearance)
        path = graph.shortest_path(0, 1)
        if path is not None and _fits(family, graph.nodes[path]):
            return graph.nodes[path]
    return None


def _fits(family: Family, points: FloatArray) -> bool:
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    waypoints = len(points) - 1
    return length <= family.route_length[1] and family.waypoints[0] <= waypoints <= family.waypoints[1]


def _first_heading(points: FloatArray, error: float, rng: np.random.Generator) -> float:
    x, y = points[1] - points[0]
    return math.atan2(y, x) + float(rng.uniform(-error, error))


def _place_pedestrians(  # noqa: PLR0917
    count: int,
    floor: FloorPlan,
    walls: FloatArray,
    robot: FloatArray,
    difficulty: Difficulty,
    rng: np.random.Generator,
) -> tuple[Patrol, ...]:
    if not count:
        return ()
    graphs = [WaypointGraph(nodes, walls, WALK_CLEARANCE) for nodes in floor.walks]
    patrols: list[Patrol] = []
    for _ in range(count):
        for _ in range(PEDESTRIAN_TRIES):
            patrol = _draw_patrol(graphs[rng.integers(len(graphs))], difficulty.pedestrian_speed, rng)
            if patrol is not None and _has_room(patrol.position, robot, difficulty.start_clearance, patrols):
                patrols.append(patrol)
                break
    return tuple(patrols)


def _draw_patrol(graph: WaypointGraph, speeds: Range, rng: np.random.Generator) -> Patrol | None:
    """Return a pedestrian at a random point of the first leg of a closed walk."""
    walk = graph.closed_walk(WALK_STEPS, rng)
    if not walk:
        return None
    angles, radii = rng.uniform(0, math.tau, len(walk)), STRAY * np.sqrt(rng.uniform(0, 1, len(walk)))
    points = graph.nodes[walk] + np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])
    position = points[0] + rng.uniform() * (points[1] - points[0])
    speed = float(rng.uniform(*speeds))
    return Patrol(position, speed, np.roll(points, -1, axis=0))


def _has_room(position: FloatArray, robot: FloatArray, clearance: float, others: list[Patrol]) -> bool:
    if np.hypot(*(position - robot)) < ROBOT_RADIUS + PEDESTRIAN_RADIUS + clearance:
        return False
    spacing = 2 * PEDESTRIAN_RADIUS + PEDESTRIAN_SPACING
    return all(np.hypot(*(position - other.position)) >= spacing for other in others)


def _point_in(area: Area, rng: np.random.Generator) -> FloatArray:
    return rng.uniform(area[:2], area[2:])
