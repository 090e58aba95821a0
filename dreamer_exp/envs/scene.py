"""Where the robot is and what stands round it, for those who draw its episode."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.robot_sf.env import RobotSFEnv


@dataclass(frozen=True)
class Scene:
    """What an episode is driven in; all in metres."""

    walls: NDArray[np.float64]
    """(W, 4): x1, y1, x2, y2 of each segment."""
    route: NDArray[np.float64]
    """(K, 2): waypoints, the last of which is the goal."""


def scene_of(env: gymnasium.Env[Any, Any]) -> Scene | None:
    """The scene of the episode that begins, asked after `reset`; None where an environment has no map."""
    inner = env.unwrapped
    if isinstance(inner, CrowdNavEnv):
        return Scene(inner.layout.walls, inner.layout.route)
    if isinstance(inner, RobotSFEnv):
        simulated = inner._env
        lines = np.array(simulated.map_def.obstacles_pysf, np.float64).reshape(-1, 4)  # x1, x2, y1, y2
        waypoints = np.array(simulated.simulator.robot_navs[0].waypoints, np.float64).reshape(-1, 2)
        return Scene(lines[:, [0, 2, 1, 3]], waypoints)
    return None


def position_of(env: gymnasium.Env[Any, Any]) -> tuple[float, float] | None:
    """The robot's x and y in metres; None where an environment has no map."""
    inner = env.unwrapped
    if isinstance(inner, CrowdNavEnv):
        return inner.simulator.robot.x, inner.simulator.robot.y
    if isinstance(inner, RobotSFEnv):
        return inner._position()
    return None
