"""The observation `socnav_struct`: the lists of objects, and the occupancy grid against geometry and Robot SF."""

import math

import numpy as np
import pytest

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.kinematics import RobotState
from dreamer_exp.envs.crowd_nav.occupancy_grid import BOTH, OBSTACLES, PEDESTRIANS, OccupancyGrid
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES
from dreamer_exp.envs.crowd_nav.scenarios.layout import Layout
from dreamer_exp.envs.make import contract_of
from tests.experiments import experiment

GRIDS = {"socnav_grid": "socnav_grid_32x32", "socnav_grid_160x160": "socnav_grid"}  # contract: end of the env's name


def layout(walls: list[list[float]], solids: list[list[float]]) -> Layout:
    empty = np.zeros((0, 4))
    return Layout(
        "open", (-5.0, -5.0, 5.0, 5.0), np.array(walls) if walls else empty, np.array(solids) if solids else empty,
        (0.0, 0.0, 0.0), np.array([[3.0, 0.0]]), (),
    )  # fmt: skip


def test_a_wall_ahead_is_a_column_in_front_of_the_middle() -> None:
    robot = RobotState(1.0, 0.0, math.pi / 2)
    cells = OccupancyGrid(6.4).draw(layout([[-20.0, 2.1, 20.0, 2.1]], []), robot, np.zeros((0, 2)))
    assert np.array_equal(np.nonzero(cells[OBSTACLES]), [np.arange(32), np.full(32, 26)])
    assert np.array_equal(cells[BOTH], cells[OBSTACLES])


def test_boxes_are_filled_and_pedestrians_are_discs() -> None:
    box, pedestrian = [0.45, -1.05, 1.05, 0.05], np.array([[-1.0, 1.0], [40.0, 0.0]])
    cells = OccupancyGrid(6.4).draw(layout([], [box]), RobotState(0.0, 0.0, 0.0), pedestrian)
    # centres at -3.1, -2.9, ...: three columns of six rows
    assert np.array_equal(np.unique(np.nonzero(cells[OBSTACLES])[1]), [18, 19, 20])
    assert cells[OBSTACLES].sum() == 3 * 5
    rows, columns = np.nonzero(cells[PEDESTRIANS])
    assert (columns.mean(), rows.mean()) == pytest.approx(((-1.0 + 3.2) / 0.2, (1.0 + 3.2) / 0.2), abs=0.01)
    assert len(rows) == 13  # corners within 2 cells


@pytest.mark.parametrize("family", ["blocks", "dense", "open"])
def test_observations_are_within_their_space_and_depend_on_the_seed_alone(family: str) -> None:
    first, second = (CrowdNavEnv(family, observation="socnav_struct") for _ in range(2))
    for _ in range(2):
        one, other = first.reset(seed=3)[0], second.reset(seed=3)[0]
        for step in range(30):
            assert first.observation_space.contains(one)
            assert all(np.array_equal(one[key], other[key]) for key in one)
            action = np.array([1.0, math.sin(step)], np.float32)
            one, other = first.step(action)[0], second.step(action)[0]


def test_lists_hold_the_nearest_pedestrians_first_in_the_robots_frame() -> None:
    env = CrowdNavEnv("dense", observation="socnav_struct")
    env.reset(seed=1)
    seen = env.step(np.array([1.0, 0.5], np.float32))[0]
    robot, (positions, velocities) = env.simulator.robot, env.simulator.pedestrians
    count = int(seen["pedestrians_count"][0])
    assert count == len(positions)
    distances = np.linalg.norm(seen["pedestrians_positions"][:count] - seen["robot_position"], axis=1)
    assert np.all(np.diff(distances) >= 0)
    assert distances == pytest.approx(np.sort(np.hypot(*(positions - [robot.x, robot.y]).T)), abs=1e-4)
    nearest = velocities[np.hypot(*(positions - [robot.x, robot.y]).T).argmin()]
    ahead = nearest @ [math.cos(robot.heading), math.sin(robot.heading)]
    assert seen["pedestrians_velocities"][0, 0] == pytest.approx(ahead, abs=1e-5)
    assert not seen["pedestrians_positions"][count:].any()


def test_episodes_of_a_seed_are_those_of_the_lidar() -> None:
    grid, lidar = CrowdNavEnv(observation="socnav_struct"), CrowdNavEnv(lidar_noise=False)
    for seed in range(3):
        grid.reset(seed=seed)
        lidar.reset(seed=seed)
        for _ in range(5):
            found, expected = (env.step(np.array([0.5, 0.1], np.float32)) for env in (grid, lidar))
            assert found[1:] == expected[1:]
    assert grid.scene_state().lidar is None


@pytest.mark.parametrize("contract", GRIDS)
def test_contract_is_robot_sfs(contract: str) -> None:
    composed = [
        experiment(f"env={env}_{GRIDS[contract]}", f"obs_contract={contract}", "hardware=cpu")
        for env in ("robot_sf_br08", "crowd_nav")
    ]
    assert len({contract_of(each.env, each.obs_contract).hash for each in composed}) == 1


@pytest.mark.robot_sf
@pytest.mark.parametrize("width", [6.4, 32.0])
def test_cells_are_those_of_robot_sf_but_for_walls_that_it_leaves_out(width: float) -> None:
    real = pytest.importorskip("robot_sf.nav.occupancy_grid")
    channels = [real.GridChannel(name) for name in ("obstacles", "pedestrians", "combined")]
    theirs = real.OccupancyGrid(real.GridConfig(0.2, width, width, channels, use_ego_frame=True, center_on_robot=True))
    ours = OccupancyGrid(width)
    for family in FAMILIES:
        env = CrowdNavEnv(family)
        env.reset(seed=2)
        robot, positions, drawn = env.simulator.robot, env.simulator.pedestrians[0], env.layout
        expected = theirs.generate(
            [((x1, y1), (x2, y2)) for x1, y1, x2, y2 in drawn.walls.tolist()],
            (np.array(positions).reshape(-1, 2), np.full(len(positions), 0.4)),
            ((robot.x, robot.y), robot.heading),
            obstacle_polygons=[[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in drawn.solids.tolist()],
        )
        found = ours.draw(drawn, robot, positions)
        assert np.array_equal(found[PEDESTRIANS], expected[PEDESTRIANS])
        assert np.all(found >= expected)
        assert found.sum() - expected.sum() <= 2 * 3 * ours.cells
