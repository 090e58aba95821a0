"""The map of an episode, and robot and pedestrians in it, for films, pictures and metrics of the driven paths."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.boundary import BoundaryEnv


@dataclass(frozen=True)
class Scene:
    """The map of one episode, in metres."""

    walls: NDArray[np.float64]
    """(W, 4): x1, y1, x2, y2 of each segment."""
    route: NDArray[np.float64]
    """(K, 2): waypoints, the last of which is the goal."""
    goal_radius: float = 0.0
    """Metres from a waypoint, or the goal, within which it counts as reached."""
    robot_radius: float = 0.0
    """Metres that the robot's centre has to keep from every wall."""
    pedestrian_radius: float = 0.0
    """Metres."""
    step_s: float = 0.1
    """Seconds in a step of the simulation."""
    solids: tuple[NDArray[np.float64], ...] = ()
    """Outlines (K, 2) of solid areas, which films fill."""


@dataclass(frozen=True)
class LidarScan:
    """One scan of the robot's lidar, as the policy observes it."""

    ranges: NDArray[np.float32]
    """(R,): metres."""
    angles: NDArray[np.float64]
    """(R,): radians counter-clockwise from the robot's heading, ascending."""
    max_range: float
    """Metres; a ray of this range has met nothing."""


@dataclass(frozen=True)
class SceneState:
    """Robot and pedestrians at one moment."""

    time_s: float
    """Simulated seconds since the beginning of the episode."""
    position: tuple[float, float]
    """The robot's x and y in metres."""
    heading: float
    """Radians counter-clockwise from +x."""
    pedestrians: NDArray[np.float64]
    """(N, 2): x and y in metres."""
    forces: NDArray[np.float64] | None = None
    """(N, 2): the total social force on each pedestrian, per unit of mass; None if the simulator has none."""
    lidar: LidarScan | None = None
    """None without a lidar."""


@runtime_checkable
class HasScene(Protocol):
    """Two methods by which an environment, of any plug-in or Gymnasium id, has its paths drawn."""

    def episode_scene(self) -> Scene:
        """Return the scene of the running episode."""

    def robot_position(self) -> tuple[float, float]:
        """Return the robot's x and y in metres."""


@runtime_checkable
class HasSceneState(Protocol):
    """A further method by which an environment is filmed and has social metrics measured (docs/metrics.md)."""

    def scene_state(self) -> SceneState:
        """Return robot and pedestrians now."""


def state_of(env: gymnasium.Env[Any, Any]) -> SceneState | None:
    """Return robot and pedestrians now, or None if the environment doesn't report them."""
    inner = env.unwrapped
    if not isinstance(inner, HasSceneState):
        return None
    with _calling(env, "scene_state"):
        return inner.scene_state()


def scene_of(env: gymnasium.Env[Any, Any]) -> Scene | None:
    """Return the scene of the running episode, or None if the environment has no map; call it after `reset`."""
    inner = env.unwrapped
    if not isinstance(inner, HasScene):
        return None
    with _calling(env, "episode_scene"):
        return inner.episode_scene()


def position_of(env: gymnasium.Env[Any, Any]) -> tuple[float, float] | None:
    """Return the robot's x and y in metres, or None if the environment has no map."""
    inner = env.unwrapped
    if not isinstance(inner, HasScene):
        return None
    with _calling(env, "robot_position"):
        return inner.robot_position()


def _calling(env: gymnasium.Env[Any, Any], method: str) -> AbstractContextManager[None]:
    """Return the block in which the boundary of an environment calls its code."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, BoundaryEnv):
            return env.calling(method)
        env = env.env
    return nullcontext()
