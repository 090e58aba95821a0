"""Robot SF's own planners as baselines: `goal` and `orca`, through its package and with its default settings.

Its benchmark has no public way to run a planner in an environment that exists already, so this module uses parts of the
benchmark that can change between commits; `package.COMMIT` is the one it was written for.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.spec import BaselineSpec, RawEnv

GRID = ("occupancy_grid", "pedestrians_positions")
"""Observation entries that `orca` reads: the crowd and the walls."""
OBSERVE_GRID = {
    "observation_mode": "socnav_struct",
    "use_image_obs": False,
    "use_occupancy_grid": True,
    "include_grid_in_observation": True,
    "grid_config": {
        "resolution": 0.2,
        "width": 32.0,
        "height": 32.0,
        "channels": ["obstacles", "pedestrians", "combined"],
        "use_ego_frame": True,
        "center_on_robot": True,
    },
}
"""Values of env.config with which they are observed, as in env=robot_sf_br08_socnav_grid; ten times slower."""


class Planners(NamedTuple):
    """The parts of Robot SF that build and run a planner."""

    build_policy: Callable[..., Any]
    to_action: Callable[..., Any]


@cache
def load_planners() -> Planners:
    """Import the planners (some seconds).

    Raises:
        UserError: Robot SF cannot be imported, or this version of it has other planners.
    """
    package.load()
    try:
        from robot_sf.benchmark.map_runner.map_runner import _build_policy
        from robot_sf.benchmark.map_runner_policies.map_runner_actions import policy_command_to_env_action
    except ImportError as error:
        raise UserError(
            f"evaluation.baselines: the planners of {package.folder()} cannot be imported ({error}); they are known at "
            f"commit {package.COMMIT}. Leave goal and orca out."
        ) from error
    return Planners(_build_policy, policy_command_to_env_action)


class Planner:
    """A planner of Robot SF that drives a RobotSFEnv to its waypoints, one after the other."""

    def __init__(self, name: str, env: RawEnv, seed: int) -> None:
        """Keep the name; the planner is built for each episode.

        Raises:
            UserError: the environment isn't a RobotSFEnv.
        """
        from dreamer_exp.envs.robot_sf.env import RobotSFEnv

        if not isinstance(env.unwrapped, RobotSFEnv):
            raise UserError(f"evaluation.baselines: {name!r} needs env=robot_sf; use another baseline.")
        self._name, self._env, self._inner = name, env, env.unwrapped

    def reset(self) -> None:
        """Build a new planner, so that nothing of the last episode is left."""
        self._policy, _ = load_planners().build_policy(self._name, {}, robot_kinematics="differential_drive")

    def act(self, observation: Any) -> NDArray[np.float32]:
        """Return the accelerations (2,) by which Robot SF's benchmark carries out the planner's command."""
        simulation = self._inner.simulation
        command = self._policy({**observation, **self._state(simulation)})
        action = load_planners().to_action(env=simulation, config=simulation.config, command=command)
        space: Any = self._env.action_space
        clipped: NDArray[np.float32] = np.clip(np.asarray(action, np.float32), space.low, space.high)
        return clipped

    @staticmethod
    def _state(simulation: Any) -> dict[str, Any]:
        """Return the robot's pose and its current waypoint, which every observation has to hold."""
        position, heading = simulation.simulator.robot_poses[0]
        return {
            "robot_position": np.array(position, np.float32),
            "robot_heading": np.array([heading], np.float32),
            "goal_current": np.array(simulation.simulator.goal_pos[0], np.float32),
        }


def make_goal(env: RawEnv, seed: int) -> Planner:
    """Return the planner that heads for the waypoint, whatever is in the way."""
    return Planner("goal", env, seed)


def make_orca(env: RawEnv, seed: int) -> Planner:
    """Return Robot SF's ORCA."""
    return Planner("orca", env, seed)


def with_grid(config: RobotSFConfig) -> RobotSFConfig:
    """Return the options with the crowd and a grid in the observation; the episodes of a seed stay the same."""
    if config.config.get("include_grid_in_observation"):
        return config
    return replace(config, config={**config.config, **OBSERVE_GRID})


def planners_lack() -> str | None:
    """Return that Robot SF is missing, or None if it is on the path of this Python."""
    return f"needs the package robot_sf. {package.HOW}" if package.folder() is None else None


def orca_lacks() -> str | None:
    """Return which package Robot SF's ORCA lacks and how to install it, or None."""
    if planners_lack() is None and find_spec("rvo2") is None:
        return "needs the package rvo2, which Robot SF brings as source: pip install <checkout>/third_party/python-rvo2"
    return planners_lack()


PLANNERS = {
    "goal": BaselineSpec(make_goal, lacks=planners_lack),
    "orca": BaselineSpec(make_orca, reads=GRID, lacks=orca_lacks, driven_with=with_grid),
}
