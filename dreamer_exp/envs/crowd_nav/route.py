"""Progress along the route: current waypoint, remaining distance, angles."""

import math

import numpy as np

from dreamer_exp.envs.crowd_nav.constants import WAYPOINT_RADIUS
from dreamer_exp.envs.crowd_nav.kinematics import RobotState, wrap_angle
from dreamer_exp.envs.crowd_nav.scenarios.layout import FloatArray


class Route:
    """Waypoints, the last of which is the goal, and the index of the current one."""

    def __init__(self, waypoints: FloatArray) -> None:
        """Start at the first of the waypoints (K, 2), in metres."""
        self.waypoints = [(float(x), float(y)) for x, y in waypoints]
        self.index = 0
        self.finished = False
        legs = np.linalg.norm(np.diff(waypoints, axis=0), axis=1)
        self._after = [float(length) for length in np.append(np.cumsum(legs[::-1])[::-1], 0.0)]
        self._turns = [heading_between(a, b) for a, b in zip(self.waypoints, self.waypoints[1:], strict=False)]

    @property
    def waypoint(self) -> tuple[float, float]:
        """The current waypoint, in metres."""
        return self.waypoints[self.index]

    def distance(self, robot: RobotState) -> float:
        """Return the distance in metres from the robot to the current waypoint."""
        x, y = self.waypoint
        return math.hypot(x - robot.x, y - robot.y)

    def remaining(self, robot: RobotState) -> float:
        """Return the remaining metres: to the current waypoint, then along the legs to the goal."""
        return self.distance(robot) + self._after[self.index]

    def bearing(self, robot: RobotState) -> float:
        """Return the angle from the robot's heading to the current waypoint, in [-pi, pi]."""
        return wrap_angle(heading_between((robot.x, robot.y), self.waypoint) - robot.heading)

    def turn(self, robot: RobotState) -> float:
        """Return the angle from the line robot-waypoint to the line waypoint-next waypoint; 0 at the goal."""
        if self.index == len(self._turns):
            return 0.0
        return wrap_angle(self._turns[self.index] - heading_between((robot.x, robot.y), self.waypoint))

    def advance(self, robot: RobotState) -> None:
        """Select the next waypoint if the current one is reached, or finish at the goal."""
        if self.distance(robot) > WAYPOINT_RADIUS:
            return
        if self.index + 1 < len(self.waypoints):
            self.index += 1
        else:
            self.finished = True


def heading_between(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Return the direction from one point to another, in radians."""
    return math.atan2(end[1] - start[1], end[0] - start[0])
