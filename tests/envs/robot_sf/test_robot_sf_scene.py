"""Walls, route and position of a Robot SF episode."""

import numpy as np
import pytest
from robot_sf_episodes import CLASSIC, empty_area, matrix

from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.scene import position_of, scene_of, state_of

pytestmark = pytest.mark.robot_sf


def test_scene_of_the_empty_map_is_a_frame_with_the_goal_inside() -> None:
    env = empty_area()
    env.reset(seed=1)
    scene = scene_of(env)
    assert scene is not None
    ends = scene.walls.reshape(-1, 2)
    assert np.all((ends.min(axis=0) < scene.route[-1]) & (scene.route[-1] < ends.max(axis=0)))
    assert all(x1 == x2 or y1 == y2 for x1, y1, x2, y2 in scene.walls)  # the frame is axis-aligned


def test_path_length_equals_that_of_the_positions() -> None:
    env = empty_area(max_steps=30)
    env.reset(seed=1)
    points, info = [position_of(env)], {}
    while not info:
        *_, info = env.step(np.array([1.0, 0.1], np.float32))
        points.append(position_of(env))
    steps = np.diff(np.array(points), axis=0)
    assert np.linalg.norm(steps, axis=1).sum() == pytest.approx(info["path_length"])


@pytest.mark.parametrize("noise", [True, False])
def test_the_scan_ends_at_the_walls(noise: bool) -> None:
    env = empty_area(lidar_noise=noise)
    observation, _ = env.reset(seed=1)
    state, scene = state_of(env), scene_of(env)
    assert state is not None
    assert scene is not None
    assert state.lidar is not None
    assert np.allclose(state.lidar.ranges, observation["rays"][-1] * 10.0)
    angles = state.heading + state.lidar.angles
    ends = np.array(state.position) + state.lidar.ranges[:, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    corners = scene.walls.reshape(-1, 2)  # of walls along x and y
    echoes = ends[state.lidar.ranges < state.lidar.max_range]
    distance = np.abs(echoes[:, None] - corners).min((1, 2))
    assert len(echoes) > 50
    assert np.mean(distance < 1e-3) > 0.95  # noise makes some rays shorter


def test_an_episode_is_rendered_with_its_obstacles() -> None:
    config = RobotSFConfig(scenario_matrix=matrix(CLASSIC, "classic_doorway_low"))
    env = RobotSFEnv(config, "rgb_array")
    env.reset(seed=1)
    scene = scene_of(env)
    assert scene is not None
    assert len(scene.solids) > 2
    picture = env.render()
    assert picture is not None
    assert picture.shape == (480, 480, 3)
    assert env.metadata["render_fps"] == 10.0
