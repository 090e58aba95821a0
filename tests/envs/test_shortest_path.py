"""Shortest paths through the regions of waypoints, against lengths computed by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.shortest_path import shortest_path_length

OPEN = np.empty((0, 4))


def route(*waypoints: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(waypoints, np.float64)


def test_path_ends_at_the_edge_of_the_goal_region() -> None:
    assert shortest_path_length((0.0, 0.0), route((6.0, 8.0)), 2.0, OPEN, 1.0) == pytest.approx(8.0)


def test_path_has_no_length_inside_the_goal_region() -> None:
    assert shortest_path_length((1.0, 0.0), route((0.0, 0.0)), 2.0, OPEN, 1.0) == 0.0


def test_path_passes_straight_through_waypoints_on_its_line() -> None:
    length = shortest_path_length((0.0, 0.0), route((5.0, 0.0), (10.0, 0.0)), 2.0, OPEN, 1.0)
    assert length == pytest.approx(8.0, abs=1e-3)


def test_path_cuts_a_corner_within_the_radius_of_its_waypoint() -> None:
    """By symmetry it touches the circle at 135 degrees: two equal legs, the second one less the goal's 2 m."""
    leg = math.hypot(10 - math.sqrt(2), math.sqrt(2))
    length = shortest_path_length((0.0, 0.0), route((10.0, 0.0), (10.0, 10.0)), 2.0, OPEN, 1.0)
    assert length == pytest.approx(2 * leg - 2, abs=1e-3)


def test_path_keeps_the_clearance_from_a_wall() -> None:
    """A wall ends at (5, 1): the path bends around its end at a distance of 1 m, close to the point (5, 2)."""
    wall = np.array([[5.0, -20.0, 5.0, 1.0]])
    around = route((5.0, 3.0), (10.0, 0.0))
    free = shortest_path_length((0.0, 0.0), around, 2.0, OPEN, 1.0)
    blocked = shortest_path_length((0.0, 0.0), around, 2.0, wall, 1.0)
    assert free < blocked
    assert blocked == pytest.approx(2 * math.hypot(5.0, 2.0) - 2.0, abs=0.1)


def test_walls_are_ignored_where_no_leg_is_free() -> None:
    box = np.array([[4.0, -9.0, 4.0, 9.0]])
    assert shortest_path_length((0.0, 0.0), route((10.0, 0.0)), 2.0, box, 1.0) == pytest.approx(8.0)


@pytest.mark.parametrize("scenario", ["blocks", "doorway", "intersection", "dense"])
def test_path_of_crowd_nav_is_shorter_than_its_route(scenario: str) -> None:
    env = CrowdNavEnv(scenario=scenario)
    for seed in range(5):
        env.reset(seed=seed)
        scene, layout = env.episode_scene(), env.layout
        length = shortest_path_length(layout.start[:2], scene.route, 2.0, scene.walls, 1.0)
        straight = math.dist(layout.start[:2], layout.route[-1]) - 2.0
        corners = 4.0 * (len(layout.route) - 1)
        assert max(straight, layout.route_length - 2.0 - corners) - 1e-9 <= length <= layout.route_length - 2.0 + 1e-2
