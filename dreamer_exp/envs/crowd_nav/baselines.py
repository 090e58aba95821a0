"""Policies to compare with: random, straight to the goal, and navground's behaviours with privileged state."""

import copy
import math
from collections.abc import Mapping
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.constants import DISTANCE_CAP, DT, MAX_SPEED, MAX_YAW_RATE
from dreamer_exp.envs.crowd_nav.kinematics import clip
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array

BASELINES = ("random", "straight_to_goal", "orca", "hl")

Observation = Mapping[str, Float32Array]


class Baseline(Protocol):
    """A policy over the raw Dict observation."""

    def reset(self) -> None:
        """Forget the last episode; to be called after each reset of the env."""

    def act(self, observation: Observation) -> Any:
        """Return an action within the env's action space; (2,) float32 for robots."""


def make_baseline(name: str, env: gymnasium.Env[Any, Any], seed: int) -> Baseline:
    """Return the baseline of this name for an env; `orca` and `hl` read the state of a CrowdNavEnv underneath.

    Raises:
        UserError: there is no such baseline, or the env gives `orca` and `hl` no state to read.
    """
    if name == "random":
        return Random(env, seed)
    if name == "straight_to_goal":
        return StraightToGoal()
    if name not in BASELINES:
        raise UserError(
            f"evaluation.baselines: no baseline {name!r}.{nearest(name, BASELINES)} There are: {', '.join(BASELINES)}"
        )
    if not hasattr(env.unwrapped, "simulator"):
        raise UserError(f"evaluation.baselines: {name!r} needs the state of env.name=crowd_nav; take another baseline")
    return Privileged(name, env)


class Random:
    """Uniform actions of any action space."""

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        """Copy the action space, so that the env's own generator isn't drawn from."""
        self._space = copy.deepcopy(env.action_space)
        self._space.seed(seed)

    def reset(self) -> None:
        """Go on with the same stream."""

    def act(self, observation: Observation) -> Any:
        """Return an action of the space, whatever is observed."""
        return self._space.sample()


class StraightToGoal:
    """Turn to the current waypoint and drive there, blind to walls and pedestrians."""

    CRUISE_SPEED = 1.5
    """m/s."""

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Return the accelerations, from the newest row of `drive_state` alone."""
        speed, yaw_rate, distance, bearing, _ = observation["drive_state"][-1].tolist()
        wanted_yaw_rate = clip(1.2 * bearing * math.pi, -MAX_YAW_RATE, MAX_YAW_RATE)
        wanted_speed = min(self.CRUISE_SPEED, 0.5 + distance * DISTANCE_CAP) * max(0.0, math.cos(bearing * math.pi))
        return accelerations((speed * MAX_SPEED, yaw_rate * MAX_YAW_RATE), (wanted_speed, wanted_yaw_rate))


class Privileged:
    """A behaviour of the simulator's that knows every body and wall, driving from waypoint to waypoint."""

    def __init__(self, name: str, env: gymnasium.Env[Any, Any]) -> None:
        """Remember which behaviour; it is made at each episode's first action, for that episode's world."""
        self._name = name
        self._env: Any = env.unwrapped
        self._driver: Any = None

    def reset(self) -> None:
        """Let go of the last episode's world."""
        self._driver = None

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """Return the accelerations toward the speeds that the behaviour asks for; the observation isn't read."""
        if self._driver is None:
            self._driver = self._env.simulator.driver(self._name)
        robot = self._env.simulator.robot
        return accelerations((robot.speed, robot.yaw_rate), self._driver.command(self._env.route.waypoint))


def accelerations(now: tuple[float, float], wanted: tuple[float, float]) -> NDArray[np.float32]:
    """Return the action (2,) that comes nearest in one step to the wanted speed (m/s) and yaw rate (rad/s)."""
    change = [clip((b - a) / DT, -1.0, 1.0) for a, b in zip(now, wanted, strict=True)]
    return np.array(change, dtype=np.float32)
