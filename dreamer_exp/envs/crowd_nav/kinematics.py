"""The robot's motion: from accelerations to speeds, from speeds to a pose (source: Robot SF, 40d0854)."""

import math
from typing import NamedTuple

from dreamer_exp.envs.crowd_nav.constants import DT, MAX_SPEED, MAX_YAW_RATE


class RobotState(NamedTuple):
    """Pose and speeds: metres, radians counter-clockwise from +x, m/s, rad/s."""

    x: float
    y: float
    heading: float
    speed: float = 0.0
    yaw_rate: float = 0.0


def accelerate(robot: RobotState, linear: float, angular: float) -> tuple[float, float]:
    """Return speed and yaw rate after a step with these accelerations, clipped to [0, 2] m/s and +-1 rad/s.

    Accelerations outside +-1 (m/s^2, rad/s^2) are clipped to it.
    """
    speed = robot.speed + clip(linear, -1.0, 1.0) * DT
    yaw_rate = robot.yaw_rate + clip(angular, -1.0, 1.0) * DT
    return clip(speed, 0.0, MAX_SPEED), clip(yaw_rate, -MAX_YAW_RATE, MAX_YAW_RATE)


def integrate(robot: RobotState, speed: float, yaw_rate: float) -> RobotState:
    """Return the state a step later, by the trapezoidal rule.

    The robot moves with the mean of the old and new speeds along the mean of the old and new headings.
    """
    heading = robot.heading + 0.5 * (robot.yaw_rate + yaw_rate) * DT
    distance = 0.5 * (robot.speed + speed) * DT
    middle = 0.5 * (robot.heading + heading)
    x = robot.x + distance * math.cos(middle)
    y = robot.y + distance * math.sin(middle)
    return RobotState(x, y, wrap_angle(heading), speed, yaw_rate)


def clip(value: float, low: float, high: float) -> float:
    """Return the value clipped to [low, high]."""
    return low if value < low else high if value > high else value


def wrap_angle(angle: float) -> float:
    """Return the same angle in [-pi, pi]."""
    return math.remainder(angle, math.tau)
