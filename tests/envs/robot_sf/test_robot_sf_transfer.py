"""crowd_nav reproduces Robot SF: with the same area and actions, motion, observations and ends are equal."""

import math
from typing import Any

import numpy as np
import pytest
from robot_sf_episodes import CLASSIC, EMPTY, SANITY, matrix, toward_the_goal
from side_by_side import StandIn

from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv

pytestmark = pytest.mark.robot_sf

CLOSE = 1e-4
RAYS_CLOSE = 1e-3  # navground computes in float32
# three maps without pedestrians, with routes of 3 to 4 waypoints: an empty frame, a small room, a bottleneck
AREAS = [(SANITY, EMPTY), (SANITY, "planner_sanity_simple"), (CLASSIC, "classic_bottleneck_low")]


@pytest.fixture(scope="module", params=[(area, seed) for area in AREAS for seed in (0, 1, 2)], ids=str)
def both(request: pytest.FixtureRequest) -> list[tuple[Any, Any]]:
    """Return what both environments return at the reset and in each step until one ends; seed 2 drives to the goal."""
    (path, name), seed = request.param
    real = RobotSFEnv(RobotSFConfig(lidar_noise=False, scenario_matrix=matrix(path, name)))
    observation, info = real.reset(seed=seed)
    stand_in = StandIn(real)
    first = stand_in.reset(seed=0)
    steps: list[tuple[Any, Any]] = [((observation, 0.0, False, False, info), (first[0], 0.0, False, False, first[1]))]
    steer, rng = toward_the_goal(real), np.random.default_rng(seed)
    while not any(steps[-1][0][2:4] + steps[-1][1][2:4]):
        push = steer(steps[-1][0][0]) if seed == 2 else rng.uniform([-0.5, -1], [1, 1]).astype(np.float32)
        steps.append((real.step(push), stand_in.step(push)))
    return steps


@pytest.mark.parametrize(
    ("column", "meaning"),
    [
        (0, "speed"),
        (1, "yaw rate"),
        (2, "distance to the waypoint"),
        (3, "bearing to the waypoint"),
        (4, "turn at the waypoint"),
    ],
)
def test_drive_state_column_agrees(both: list[tuple[Any, Any]], column: int, meaning: str) -> None:
    real, stand_in = (np.array([step[at][0]["drive_state"][:, column] for step in both]) for at in (0, 1))

    np.testing.assert_allclose(real, stand_in, atol=CLOSE, err_msg=meaning)


def test_rays_agree(both: list[tuple[Any, Any]]) -> None:
    real, stand_in = (np.array([step[at][0]["rays"] for step in both[4:]]) for at in (0, 1))

    # without the first rows: Robot SF returns the distance to the opposite wall for a ray exactly along y
    np.testing.assert_allclose(real, stand_in, atol=RAYS_CLOSE)


def test_episodes_end_at_the_same_step_with_the_same_outcome(both: list[tuple[Any, Any]]) -> None:
    (_, _, *ends, info), (_, _, *other_ends, other) = both[-1]

    assert ends == other_ends
    for name in ("outcome", "time_s", "min_clearance", "near_misses"):
        assert info[name] == other[name], name


def test_lengths_agree(both: list[tuple[Any, Any]]) -> None:
    (*_, info), (*_, other) = both[-1]

    assert math.isclose(info["path_length"], other["path_length"], rel_tol=CLOSE)
    assert math.isclose(info["route_length"], other["route_length"], rel_tol=CLOSE)


def test_final_infos_have_the_same_keys(both: list[tuple[Any, Any]]) -> None:
    (*_, info), (*_, other) = both[-1]

    assert set(info) == set(other)
