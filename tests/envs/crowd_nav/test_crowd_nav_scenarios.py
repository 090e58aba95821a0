"""Layouts are fair: episodes start without collisions, routes are passable, pedestrians keep clear of walls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES, load_family
from dreamer_exp.envs.crowd_nav.scenarios.generate import generate_layout
from dreamer_exp.envs.crowd_nav.scenarios.geometry import WallDistance, points_to_segments, segments_to_segments
from dreamer_exp.envs.crowd_nav.scenarios.graph import WaypointGraph
from dreamer_exp.envs.crowd_nav.scenarios.layout import turned

layouts = st.builds(
    lambda family, seed: generate_layout(load_family(family), np.random.default_rng(seed)),
    st.sampled_from(FAMILIES),
    st.integers(0, 2**31 - 1),
)
many = settings(max_examples=60, deadline=None)


def legs(points):
    return np.hstack([points[:-1], points[1:]])


@many
@given(layouts)
def test_robot_starts_clear_of_walls_and_pedestrians(layout):
    start = np.array([layout.start[:2]])
    assert points_to_segments(start, layout.walls).min() > 1.0
    assert all(np.linalg.norm(patrol.position - start) > 1.4 for patrol in layout.patrols)


@many
@given(layouts)
def test_pedestrians_start_clear_of_walls_boxes_and_each_other(layout):
    places = np.array([patrol.position for patrol in layout.patrols]).reshape(-1, 2)
    if not len(places):
        return
    assert points_to_segments(places, layout.walls).min() > 0.4
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9.0 * np.eye(len(places))
    assert gaps.min() > 0.8
    for box in layout.solids:
        assert not ((places > box[:2]) & (places < box[2:])).all(axis=1).any()


@many
@given(layouts)
def test_route_is_passable_for_a_robot_of_one_metre_radius(layout):
    points = np.vstack([layout.start[:2], layout.route])
    assert segments_to_segments(legs(points), layout.walls).min() > 1.0


@many
@given(layouts)
def test_start_and_goal_are_at_least_eight_metres_apart(layout):
    assert np.linalg.norm(layout.route[-1] - layout.start[:2]) >= 8.0


@many
@given(layouts)
def test_patrols_are_loops_that_keep_clear_of_walls(layout):
    for patrol in layout.patrols:
        loop = np.vstack([patrol.position, patrol.points, patrol.points[0]])
        assert segments_to_segments(legs(loop), layout.walls).min() > 0.4


@many
@given(layouts)
def test_everything_lies_within_the_bounds(layout):
    low, high = np.array(layout.bounds[:2]), np.array(layout.bounds[2:])
    points = [layout.walls.reshape(-1, 2), layout.route, np.array([layout.start[:2]])]
    points += [patrol.points for patrol in layout.patrols]
    assert all(((p >= low - 1e-9) & (p <= high + 1e-9)).all() for p in points)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(FAMILIES), st.integers(0, 2**31 - 1))
def test_first_step_without_moving_is_not_a_collision(family, seed):
    env = CrowdNavEnv(family)
    env.reset(seed=seed)
    assert not env.step(np.zeros(2, dtype=np.float32))[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_layouts_stay_within_the_limits_of_their_family(family):
    limits = load_family(family)
    for seed in range(20):
        layout = generate_layout(limits, np.random.default_rng(seed))
        assert limits.waypoints[0] <= len(layout.route) <= limits.waypoints[1]
        assert limits.route_length[0] <= layout.route_length <= limits.route_length[1]
        assert len(layout.patrols) <= limits.pedestrians[1]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "open"])
def test_pedestrians_keep_walking(family):
    env = CrowdNavEnv(family)
    env.reset(seed=1)
    places = []
    for _ in range(300):
        env.simulator.step(0.0, 0.0)
        places.append(env.simulator.pedestrians[0])
    late = np.array(places[-100:])
    moved = np.linalg.norm(late - late[0], axis=-1).max(axis=0)
    assert (moved > 0.5).mean() >= 0.9


def test_pedestrians_never_exceed_their_maximum_speed():
    env = CrowdNavEnv("dense")
    env.reset(seed=1)
    for _ in range(50):
        env.simulator.step(0.0, 0.0)
        assert np.linalg.norm(env.simulator.pedestrians[1], axis=1).max() <= 0.65 + 1e-3


def test_turned_layout_keeps_its_distances():
    layout = generate_layout(load_family("blocks"), np.random.default_rng(0))
    for quarters in range(4):
        for mirrored in (False, True):
            other = turned(layout, quarters, mirrored)
            assert other.route_length == pytest.approx(layout.route_length)
            assert points_to_segments(other.route, other.walls) == pytest.approx(
                points_to_segments(layout.route, layout.walls)
            )


def test_crossing_segments_have_distance_zero():
    first = np.array([[0.0, 0.0, 2.0, 2.0]])
    second = np.array([[0.0, 2.0, 2.0, 0.0], [3.0, 2.0, 4.0, 2.0]])
    assert segments_to_segments(first, second).tolist() == [[0.0, 1.0]]


def test_wall_distance_is_to_the_nearest_point():
    walls = WallDistance(np.array([[0.0, 0.0, 4.0, 0.0]]))
    assert walls(2.0, 3.0) == pytest.approx(3.0)
    assert walls(7.0, 4.0) == pytest.approx(5.0)


def test_shortest_path_leads_around_a_wall():
    nodes = np.array([[0.0, 0.0], [10.0, 0.0], [5.0, 6.0], [5.0, -9.0]])
    graph = WaypointGraph(nodes, np.array([[5.0, -4.0, 5.0, 4.0]]), clearance=1.0)
    assert graph.shortest_path(0, 1) == [0, 2, 1]


def test_closed_wall_leaves_no_path():
    graph = WaypointGraph(np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[5.0, -50.0, 5.0, 50.0]]), clearance=1.0)
    assert graph.shortest_path(0, 1) is None
