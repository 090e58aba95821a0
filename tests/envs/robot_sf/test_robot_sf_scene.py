"""Walls, route and position of a Robot SF episode."""

import numpy as np
import pytest
from robot_sf_episodes import empty_area

from dreamer_exp.envs.scene import position_of, scene_of

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
