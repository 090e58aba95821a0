"""Baselines for crowd_nav's robot: a scripted one, and navground's behaviours with the simulator's complete state."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.crowd_nav.constants import DISTANCE_CAP, DT, LIDAR, MAX_SPEED, MAX_YAW_RATE
from dreamer_exp.envs.crowd_nav.kinematics import clip
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array
from dreamer_exp.envs.spec import BaselineSpec, RawEnv

Observation = Mapping[str, Float32Array]


class StraightToGoal:
    """Turn to the current waypoint and drive there, ignoring walls and pedestrians."""

    CRUISE_SPEED = 1.5
    """m/s."""

    def __init__(self, env: RawEnv, seed: int) -> None:
        """Keep nothing: the observation is enough."""

    def reset(self) -> None:
        """Do nothing: there is no state."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Return the accelerations, from the newest row of `drive_state` alone."""
        speed, yaw_rate, distance, bearing, _ = observation["drive_state"][-1].tolist()
        wanted_yaw_rate = clip(1.2 * bearing * math.pi, -MAX_YAW_RATE, MAX_YAW_RATE)
        wanted_speed = min(self.CRUISE_SPEED, 0.5 + distance * DISTANCE_CAP) * max(0.0, math.cos(bearing * math.pi))
        return accelerations((speed * MAX_SPEED, yaw_rate * MAX_YAW_RATE), (wanted_speed, wanted_yaw_rate))


class Privileged:
    """A behaviour of navground that knows every body and wall, driving from waypoint to waypoint."""

    def __init__(self, name: str, env: RawEnv, seed: int) -> None:
        """Keep the behaviour's name; the behaviour is made at the first action, for the world of that episode.

        Raises:
            UserError: the environment isn't a CrowdNavEnv.
        """
        if not hasattr(env.unwrapped, "simulator"):
            raise UserError(f"evaluation.baselines: {name!r} needs the state of env=crowd_nav; use another baseline.")
        self._name = name
        self._env: Any = env.unwrapped
        self._driver: Any = None

    def reset(self) -> None:
        """Drop the world of the last episode."""
        self._driver = None

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Return the accelerations toward the behaviour's command; the observation isn't read."""
        if self._driver is None:
            self._driver = self._env.simulator.driver(self._name)
        robot = self._env.simulator.robot
        return accelerations((robot.speed, robot.yaw_rate), self._driver.command(self._env.route.waypoint))


def accelerations(now: tuple[float, float], wanted: tuple[float, float]) -> NDArray[np.float32]:
    """Return the action (2,) that comes nearest in one step to the wanted speed (m/s) and yaw rate (rad/s)."""
    change = [clip((b - a) / DT, -1.0, 1.0) for a, b in zip(now, wanted, strict=True)]
    return np.array(change, dtype=np.float32)


def with_lidar(config: CrowdNavConfig) -> CrowdNavConfig:
    """Return the options with drive_state in the observation; the episodes of a seed stay the same."""
    return replace(config, observation=LIDAR)


STRAIGHT_TO_GOAL = BaselineSpec(StraightToGoal, reads=("drive_state",))
BASELINES = {
    "straight_to_goal": STRAIGHT_TO_GOAL._replace(driven_with=with_lidar),
    "orca": BaselineSpec(partial(Privileged, "orca")),
    "hl": BaselineSpec(partial(Privileged, "hl")),
}
