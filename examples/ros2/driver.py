"""From laser scans, odometry and a goal to velocities, by a policy of crowd_nav or Robot SF. No ROS is imported here.

The driver keeps the latest messages as plain numbers, builds the policy's observation at each period, and integrates
its accelerations to velocities. Whatever goes wrong, the command is zero velocity with a reason.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RAYS, RANGE_M = 272, 10.0  # of the policy's lidar; ray k points 2 pi k / 272 counter-clockwise of straight back
SPEED, YAW_RATE, DISTANCE = 2.0, 1.0, 50.0  # by which drive_state is divided, and at which it ends
STACK = 3  # rows of an observation, oldest first
ACCELERATION = 1.0  # m/s^2 and rad/s^2 of an action of 1

Act = Callable[[Mapping[str, NDArray[np.float32]]], Any]
"""The policy: observation -> two accelerations."""


@dataclass(frozen=True)
class Settings:
    """Settings of the robot; lengths in metres, angles in radians, times in seconds.

    Attributes:
        period_s: between two commands; that of the training (0.1).
        max_age_s: of a scan or odometry that is still used.
        max_speed: at most 2 m/s, which the policy was trained with.
        max_yaw_rate: at most 1 rad/s.
        waypoint_radius: distance at which a waypoint counts as reached.
        goal_radius: distance at which the robot stops at the goal.
        lidar_x, lidar_y, lidar_yaw: pose of the lidar in the robot's base frame.
        max_missing: largest share of readings that may be missing.
        max_gap: widest run of missing readings, an angle.
    """

    period_s: float = 0.1
    max_age_s: float = 0.25
    max_speed: float = SPEED
    max_yaw_rate: float = YAW_RATE
    waypoint_radius: float = 2.0
    goal_radius: float = 0.5
    lidar_x: float = 0.0
    lidar_y: float = 0.0
    lidar_yaw: float = 0.0
    max_missing: float = 0.3
    max_gap: float = math.radians(30.0)


class Scan(NamedTuple):
    """The fields of sensor_msgs/LaserScan that are read, and when it was measured."""

    stamp_s: float
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float
    ranges: Sequence[float]


class Odometry(NamedTuple):
    """Pose in the frame of the goal, and velocity in the base frame."""

    stamp_s: float
    x: float
    y: float
    yaw: float
    speed: float
    yaw_rate: float


class Command(NamedTuple):
    """Velocity for a geometry_msgs/Twist; `reason` is why the robot has to stand, or empty."""

    speed: float
    yaw_rate: float
    reason: str = ""


class Stop(Exception):
    """Why the robot has to stand still."""


class Driver:
    """Drives one robot.

    Args:
        act: the policy; it gets `drive_state` (3, 5) and `rays` (3, 272).
        reset: makes the policy forget the last episode.
        settings: of the robot.
    """

    def __init__(self, act: Act, reset: Callable[[], None], settings: Settings = Settings()) -> None:
        self._act, self._reset, self.settings = act, reset, settings
        self._scan: Scan | None = None
        self._odometry: Odometry | None = None
        self._waypoints: list[tuple[float, float]] = []
        self._rows: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        self._velocity: tuple[float, float] | None = None

    def on_scan(self, scan: Scan) -> None:
        """Keep the latest scan."""
        self._scan = scan

    def on_odometry(self, odometry: Odometry) -> None:
        """Keep the latest odometry."""
        self._odometry = odometry

    def on_route(self, waypoints: Sequence[tuple[float, float]]) -> None:
        """Drive along these points, the last of which is the goal; an empty route stops the robot.

        Another route to the same goal, as planners publish it every second, does not begin an episode.
        """
        is_same_goal = bool(waypoints) and list(waypoints[-1:]) == self._waypoints[-1:]
        self._waypoints = list(waypoints)
        if not is_same_goal:
            self._begin()

    def command(self, now_s: float) -> Command:
        """Return the velocity for the next period, or zero with a reason; nothing is raised.

        Args:
            now_s: the time, of the clock that stamps the messages.
        """
        try:
            speed, yaw_rate = self._drive(now_s)
            return Command(speed, yaw_rate)
        except Stop as stop:
            reason = str(stop)
        except Exception as error:  # noqa: BLE001  # a robot that cannot be driven has to stand
            reason = f"{type(error).__name__}: {error}"
        self._begin()
        return Command(0.0, 0.0, reason)

    def _begin(self) -> None:
        """Begin an episode: what was seen before a stop says nothing about what comes after it."""
        self._rows, self._velocity = [], None
        self._reset()

    def _drive(self, now_s: float) -> tuple[float, float]:
        scan, odometry = self._fresh(now_s)
        while len(self._waypoints) > 1 and self._distance(odometry) < self.settings.waypoint_radius:
            del self._waypoints[0]
        if self._distance(odometry) < self.settings.goal_radius:
            self._waypoints = []
            raise Stop("the goal is reached")
        row = (drive_state(odometry, self._waypoints), rays(scan, self.settings))
        self._rows = [*(self._rows or [row] * STACK)[1:], row]
        stacks = [np.stack(part) for part in zip(*self._rows, strict=True)]
        action = np.asarray(self._act({"drive_state": stacks[0], "rays": stacks[1]}), np.float64)
        if action.shape != (2,) or not np.isfinite(action).all():
            raise Stop(f"the policy returned {action}")
        self._velocity = self._integrate(action, odometry)
        return self._velocity

    def _fresh(self, now_s: float) -> tuple[Scan, Odometry]:
        """Return the latest messages; raise Stop if one is missing, old or not a number."""
        for name, message in (("scan", self._scan), ("odometry", self._odometry)):
            if message is None:
                raise Stop(f"no {name} yet")
            age = now_s - message.stamp_s
            if not -self.settings.max_age_s <= age <= self.settings.max_age_s:
                raise Stop(f"the {name} is {age:.2f} s old; allowed: {self.settings.max_age_s} s")
        assert self._scan is not None
        assert self._odometry is not None
        if not all(map(math.isfinite, self._odometry)):
            raise Stop(f"the odometry is not finite: {tuple(self._odometry)}")
        if not self._waypoints:
            raise Stop("no goal")
        if not all(math.isfinite(number) for point in self._waypoints for number in point):
            raise Stop(f"the route is not finite: {self._waypoints}")
        return self._scan, self._odometry

    def _distance(self, odometry: Odometry) -> float:
        x, y = self._waypoints[0]
        return math.hypot(x - odometry.x, y - odometry.y)

    def _integrate(self, action: NDArray[np.float64], odometry: Odometry) -> tuple[float, float]:
        """Return the velocities after a period, from the last command or, after a stop, from the odometry."""
        limits, step = self.settings, ACCELERATION * self.settings.period_s
        speed, yaw_rate = self._velocity or (odometry.speed, odometry.yaw_rate)
        linear, angular = np.clip(action, -1.0, 1.0) * step
        return (
            float(np.clip(speed + linear, 0.0, min(limits.max_speed, SPEED))),
            float(np.clip(yaw_rate + angular, *(side * min(limits.max_yaw_rate, YAW_RATE) for side in (-1.0, 1.0)))),
        )


def drive_state(odometry: Odometry, waypoints: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """Return speed, yaw rate, distance, bearing and next turn (5,), scaled as in the training."""
    (x, y), heading = waypoints[0], odometry.yaw
    direction = math.atan2(y - odometry.y, x - odometry.x)
    turn = 0.0
    if len(waypoints) > 1:
        turn = math.atan2(waypoints[1][1] - y, waypoints[1][0] - x) - direction
    values = (
        odometry.speed / SPEED,
        odometry.yaw_rate / YAW_RATE,
        math.hypot(x - odometry.x, y - odometry.y) / DISTANCE,
        wrapped(direction - heading) / math.pi,
        wrapped(turn) / math.pi,
    )
    return np.clip(values, (0.0, -1.0, 0.0, -1.0, -1.0), 1.0).astype(np.float32)


def rays(scan: Scan, settings: Settings) -> NDArray[np.float32]:
    """Return the ranges at the policy's 272 bearings around the base frame's origin (272,), divided by 10 m.

    A bearing takes the nearest of the readings in its sector, or of the two next to it if the scan is coarser. Bearings
    that the scan does not cover read 10 m: nothing was seen there. +inf and numbers from range_max on are no obstacle,
    -inf is one too near to measure (REP 117). NaN and numbers below range_min are missing: their bearings take the
    readings next to them, or read 10 m, so the robot stops at a wide gap.

    Raises:
        Stop: the scan is empty or malformed, its limits are not 0 <= range_min < range_max, or more readings are
            missing, in all or next to each other, than allowed.
    """
    measured = np.asarray(scan.ranges, np.float64)
    if measured.ndim != 1 or not measured.size or not math.isfinite(scan.angle_min):
        raise Stop(f"the scan has {measured.size} readings from angle {scan.angle_min}")
    if not (math.isfinite(scan.angle_increment) and scan.angle_increment):
        raise Stop(f"the scan has angle_increment={scan.angle_increment}")
    if not 0 <= scan.range_min < scan.range_max:  # False for NaN; otherwise every reading could be clear
        raise Stop(f"the scan has range_min={scan.range_min} and range_max={scan.range_max}")
    measured = np.where(np.isneginf(measured), scan.range_min, measured)
    is_clear = np.isposinf(measured) | (measured >= scan.range_max)
    is_missing = ~is_clear & ~(measured >= scan.range_min)  # NaN too
    if is_missing.mean() > settings.max_missing:
        raise Stop(f"{is_missing.mean():.0%} of the scan's readings are missing; allowed: {settings.max_missing:.0%}")
    gap = widest_gap(is_missing, abs(scan.angle_increment))
    if gap > settings.max_gap:
        raise Stop(
            f"{math.degrees(gap):.0f} degrees of the scan are missing; allowed: {math.degrees(settings.max_gap):.0f}"
        )
    angles = scan.angle_min + scan.angle_increment * np.arange(measured.size) + settings.lidar_yaw
    reach = np.where(is_clear, max(RANGE_M, scan.range_max), measured)
    x, y = settings.lidar_x + reach * np.cos(angles), settings.lidar_y + reach * np.sin(angles)
    bearing, distance = np.arctan2(y, x)[~is_missing], np.hypot(x, y)[~is_missing]
    sector = math.tau / RAYS
    ranges = np.full(RAYS, np.inf)
    # a reading fills every sector within half of its own width
    width = max(sector, abs(scan.angle_increment)) / 2 + 1e-9
    place = (bearing + math.pi) / sector
    reached = np.ceil(place - width / sector).astype(int), np.floor(place + width / sector).astype(int)
    for first in range(int((reached[1] - reached[0]).max(initial=-1)) + 1):
        ray = reached[0] + first
        inside = ray <= reached[1]
        np.minimum.at(ranges, ray[inside] % RAYS, distance[inside])
    return (np.minimum(ranges, RANGE_M) / RANGE_M).astype(np.float32)


def widest_gap(is_missing: NDArray[np.bool_], increment: float) -> float:
    """Return the angle of the widest run of missing readings; a scan all around continues at its beginning."""
    is_all_around = (is_missing.size + 0.5) * increment >= math.tau
    present = np.flatnonzero(~(np.tile(is_missing, 2) if is_all_around else is_missing))
    ends = [-1, *present, is_missing.size * (2 if is_all_around else 1)]
    return increment * min(int(np.diff(ends).max()) - 1, is_missing.size)


def yaw_of(x: float, y: float, z: float, w: float) -> float:
    """Return the yaw of a quaternion."""
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def wrapped(angle: float) -> float:
    """Return the same angle in [-pi, pi]."""
    return math.remainder(angle, math.tau)
