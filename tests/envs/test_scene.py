"""Walls, route and the robot's position."""

import gymnasium
import numpy as np
import pytest

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.scene import position_of, scene_of


def test_crowd_nav_robot_starts_at_the_start_of_the_layout() -> None:
    env = CrowdNavEnv(scenario="doorway")
    env.reset(seed=1)
    assert position_of(env) == env.layout.start[:2]


def test_crowd_nav_position_follows_the_robot() -> None:
    env = CrowdNavEnv(scenario="open")
    env.reset(seed=1)
    start = np.array(position_of(env))
    for _ in range(20):
        env.step(np.array([1.0, 0.0], np.float32))
    heading = env.layout.start[2]
    moved = np.array(position_of(env)) - start
    assert moved / np.linalg.norm(moved) == pytest.approx([np.cos(heading), np.sin(heading)])


def test_crowd_nav_scene_has_walls_and_route() -> None:
    env = CrowdNavEnv(scenario="doorway")
    env.reset(seed=1)
    scene = scene_of(env)
    assert scene is not None
    assert scene.walls.shape == (6, 4)  # four of the room, two next to the door
    assert scene.route.tolist() == env.layout.route.tolist()


def test_gymnasium_task_without_the_methods_has_no_scene() -> None:
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=1)
    assert scene_of(env) is None
    assert position_of(env) is None
