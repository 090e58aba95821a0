"""The interface of a crowd simulator; to use another one, replace only `navground_simulator.py`."""

from typing import NamedTuple, Protocol

import numpy as np

from dreamer_exp.envs.crowd_nav.constants import PEDESTRIAN_RADIUS, ROBOT_RADIUS
from dreamer_exp.envs.crowd_nav.kinematics import RobotState
from dreamer_exp.envs.crowd_nav.scenarios.geometry import WallDistance
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray, Layout


class Collisions(NamedTuple):
    """What the robot touches, and the distance to the nearest pedestrian."""

    pedestrian: bool
    """A pedestrian's centre is within 1.4 m of the robot's."""
    wall: bool
    """A wall is within 1.0 m of the robot's centre, or the centre is outside the arena."""
    clearance: float | None
    """Metres between the surfaces of robot and nearest pedestrian (negative: overlap); None without pedestrians."""


class Driver(Protocol):
    """A navigation behaviour that knows the simulator's complete state."""

    def command(self, target: tuple[float, float]) -> tuple[float, float]:
        """Return the speed (m/s) and yaw rate (rad/s) that lead to the target point, in metres."""


class Simulator(Protocol):
    """A world with one robot, pedestrians and walls, advanced in steps of 0.1 s."""

    def reset(self, layout: Layout, rng: np.random.Generator) -> None:
        """Build the world of this layout; everything random in it is drawn from the generator."""

    def step(self, speed: float, yaw_rate: float) -> None:
        """Move the pedestrians, then the robot, whose new speeds are `speed` (m/s) and `yaw_rate` (rad/s)."""

    @property
    def robot(self) -> RobotState:
        """The robot's pose and speeds."""

    @property
    def pedestrians(self) -> tuple[FloatArray, FloatArray]:
        """The pedestrians' positions (N, 2) in metres and velocities (N, 2) in m/s."""

    @property
    def walls(self) -> FloatArray:
        """The wall segments (W, 4): x1, y1, x2, y2 in metres."""

    def scan(self) -> Float32Array:
        """Return the exact ranges (272,) in metres, in the order of the contract; the next call may reuse the array."""

    def collisions(self) -> Collisions:
        """Return what the robot touches now."""

    def driver(self, name: str) -> Driver:
        """Return the behaviour `orca` or `hl` for the robot of this world; valid until the next reset."""


class CollisionCheck:
    """The collision rules of the contract, computed from positions and walls."""

    def __init__(self, layout: Layout) -> None:
        """Prepare the distances to the walls."""
        self._distance_to_walls = WallDistance(layout.walls)
        self._bounds = layout.bounds

    def __call__(self, robot: RobotState, positions: FloatArray) -> Collisions:
        """Return what a robot in this state touches, for pedestrians at `positions` (N, 2) in metres."""
        clearance = None
        if len(positions):
            x = positions[:, 0] - robot.x
            y = positions[:, 1] - robot.y
            clearance = float(np.sqrt((x * x + y * y).min())) - ROBOT_RADIUS - PEDESTRIAN_RADIUS
        wall = self._distance_to_walls(robot.x, robot.y) <= ROBOT_RADIUS or not self._inside(robot)
        return Collisions(clearance is not None and clearance <= 0.0, wall, clearance)

    def _inside(self, robot: RobotState) -> bool:
        x_min, y_min, x_max, y_max = self._bounds
        return x_min < robot.x < x_max and y_min < robot.y < y_max
