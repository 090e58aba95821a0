"""The crowd simulator on navground (C++ ORCA pedestrians and lidar); no other file imports navground."""

import math

import numpy as np
from navground import core, sim
from navground.core import behaviors, kinematics
from navground.sim import state_estimations, tasks

from dreamer_exp.envs.crowd_nav.constants import (
    DT,
    LIDAR_RANGE,
    MAX_SPEED,
    MAX_YAW_RATE,
    PEDESTRIAN_MAX_SPEED,
    PEDESTRIAN_RADIUS,
    PEDESTRIAN_SPEED,
    RAY_OFFSETS_START,
    RAYS,
    ROBOT_RADIUS,
)
from dreamer_exp.envs.crowd_nav.kinematics import RobotState, integrate
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray, Layout, Patrol
from dreamer_exp.envs.crowd_nav.simulator import CollisionCheck, Collisions, Driver

PEDESTRIAN_SIGHT = 6.0
"""Metres within which a pedestrian avoids others."""
PEDESTRIAN_HORIZON = 1.0
"""Time horizon in seconds for bodies and walls. Short, so that pedestrians yield late and the robot has to avoid them.

With 4 s the crowd avoids even a robot that drives straight to its goal, which then arrives 9 times in 10.
"""
TURNING_POINT_RADIUS = 0.6
"""Metres to a turning point at which a pedestrian has reached it."""


class NavgroundSimulator:
    """A navground world whose robot is moved by `step`: pedestrians avoid it, and nothing pushes it."""

    def __init__(self) -> None:
        """Prepare the lidar; `reset` builds the world."""
        self._lidar = state_estimations.LidarStateEstimation(
            range=LIDAR_RANGE,
            start_angle=RAY_OFFSETS_START,
            field_of_view=math.tau * (RAYS - 1) / RAYS,
            resolution=RAYS,
        )
        self._sensing = core.SensingState()

    def reset(self, layout: Layout, rng: np.random.Generator) -> None:
        """Build the world of this layout, with a seed from the generator."""
        self._world = sim.World()
        self._world.seed = int(rng.integers(1, 2**31))
        self._walls = layout.walls
        for x1, y1, x2, y2 in layout.walls.tolist():
            self._world.add_wall(core.LineSegment((x1, y1), (x2, y2)))
        self._crowd = [_make_pedestrian(patrol) for patrol in layout.patrols]
        for pedestrian in self._crowd:
            self._world.add_agent(pedestrian)
        self._body = sim.Agent(radius=ROBOT_RADIUS)
        self._body.ignore_collisions = True
        self._world.add_agent(self._body)
        self._check_collisions = CollisionCheck(layout)
        self._place(RobotState(*layout.start))
        self._world._prepare()

    def step(self, speed: float, yaw_rate: float) -> None:
        """Move the pedestrians, then the robot; the order is Robot SF's."""
        self._world.update(DT)
        self._place(integrate(self._robot, speed, yaw_rate))

    @property
    def robot(self) -> RobotState:
        """The robot's pose and speeds in float64 (navground keeps them in float32)."""
        return self._robot

    @property
    def pedestrians(self) -> tuple[FloatArray, FloatArray]:
        """The pedestrians' positions (N, 2) and velocities (N, 2)."""
        return self._positions(), np.array([p.velocity for p in self._crowd], dtype=np.float64).reshape(-1, 2)

    @property
    def walls(self) -> FloatArray:
        """The wall segments (W, 4)."""
        return self._walls

    def scan(self) -> Float32Array:
        """Return the exact ranges (272,) in metres."""
        self._lidar.update(self._body, self._world, self._sensing)
        return self._sensing.get_buffer("range").data

    def collisions(self) -> Collisions:
        """Return what the robot touches now, by the rules of the contract.

        navground's list of collisions isn't used, because it omits bodies that ignore collisions.
        """
        return self._check_collisions(self._robot, self._positions())

    def driver(self, name: str) -> Driver:
        """Return navground's behaviour `orca` or `hl` for this world's robot."""
        return NavgroundDriver(name, self._world, self._body, self)

    def _positions(self) -> FloatArray:
        return np.array([p.position for p in self._crowd], dtype=np.float64).reshape(-1, 2)

    def _place(self, robot: RobotState) -> None:
        self._robot = robot
        velocity = (robot.speed * math.cos(robot.heading), robot.speed * math.sin(robot.heading))
        self._body.pose = core.Pose2((robot.x, robot.y), robot.heading)
        self._body.twist = core.Twist2(velocity, robot.yaw_rate, core.Frame.absolute)


class NavgroundDriver:
    """A navground behaviour that steers the robot to a point and knows all bodies and walls."""

    CRUISE_SPEED = 1.5
    """m/s. Slow enough to brake and turn in time, since the behaviours ignore the acceleration limit."""

    def __init__(self, name: str, world: sim.World, body: sim.Agent, simulator: NavgroundSimulator) -> None:
        """Make the behaviour `orca` or `hl` and set its walls."""
        self._world, self._body, self._simulator = world, body, simulator
        self._behavior = _make_behavior(name)
        self._behavior.optimal_speed = self.CRUISE_SPEED
        self._behavior.optimal_angular_speed = MAX_YAW_RATE
        state = self._behavior.environment_state
        assert isinstance(state, core.GeometricState), "both behaviours see geometry"
        self._state = state
        self._state.line_obstacles = world.line_obstacles
        self._behavior.prepare()

    def command(self, target: tuple[float, float]) -> tuple[float, float]:
        """Return the speed (m/s) and yaw rate (rad/s) that lead to the target point, in metres."""
        behavior = self._behavior
        behavior.pose = self._body.pose
        behavior.twist = behavior.actuated_twist = self._body.twist
        self._state.neighbors = self._world.get_neighbors(self._body, LIDAR_RANGE)
        behavior.target = core.Target.Point(target, 0.1)
        twist = behavior.compute_cmd(DT, core.Frame.relative)
        return float(twist.velocity[0]), float(twist.angular_speed)


def _make_behavior(name: str) -> core.Behavior:
    drive = kinematics.AheadKinematics(MAX_SPEED, MAX_YAW_RATE)
    if name == "orca":
        orca = behaviors.ORCABehavior(drive, ROBOT_RADIUS)
        orca.time_horizon = 4.0
        orca.static_time_horizon = 1.5
        orca.horizon = LIDAR_RANGE
        orca.safety_margin = 0.15
        return orca
    hl = behaviors.HLBehavior(drive, ROBOT_RADIUS)
    hl.horizon = LIDAR_RANGE
    hl.safety_margin = 0.15
    hl.tau = 0.25
    return hl


def _make_pedestrian(patrol: Patrol) -> sim.Agent:
    legs = kinematics.OmnidirectionalKinematics(max(PEDESTRIAN_MAX_SPEED, patrol.speed), 3.0)
    behavior = behaviors.ORCABehavior(legs, PEDESTRIAN_RADIUS)
    behavior.optimal_speed = patrol.speed
    behavior.horizon = PEDESTRIAN_SIGHT
    behavior.time_horizon = PEDESTRIAN_HORIZON
    behavior.static_time_horizon = PEDESTRIAN_HORIZON
    behavior.safety_margin = 0.05
    pedestrian = sim.Agent(
        radius=PEDESTRIAN_RADIUS,
        behavior=behavior,
        kinematics=legs,
        task=tasks.WaypointsTask(patrol.points.tolist(), loop=True, tolerance=TURNING_POINT_RADIUS),
        state_estimations=[state_estimations.BoundedStateEstimation(PEDESTRIAN_SIGHT)],
        control_period=DT,
    )
    way = patrol.points[0] - patrol.position
    heading = math.atan2(way[1], way[0])
    speed = min(PEDESTRIAN_SPEED, patrol.speed)
    velocity = (speed * math.cos(heading), speed * math.sin(heading))
    pedestrian.pose = core.Pose2(patrol.position.tolist(), heading)
    pedestrian.twist = core.Twist2(velocity, 0.0, core.Frame.absolute)
    return pedestrian
