"""The observation `socnav_struct`: lists of objects and an occupancy grid, as Robot SF (40d0854) observes them.

Keys, shapes, bounds and meanings are Robot SF's, so that a policy can be evaluated there. Positions are in metres from
the arena's lower left corner.
"""

import math

import numpy as np
from gymnasium import spaces

from dreamer_exp.envs.crowd_nav.constants import DT, MAX_SPEED, PEDESTRIAN_RADIUS, ROBOT_RADIUS
from dreamer_exp.envs.crowd_nav.kinematics import RobotState, wrap_angle
from dreamer_exp.envs.crowd_nav.observation import Observation
from dreamer_exp.envs.crowd_nav.occupancy_grid import RESOLUTION, OccupancyGrid
from dreamer_exp.envs.crowd_nav.route import Route
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray, Layout
from dreamer_exp.envs.crowd_nav.simulator import Simulator

PEDESTRIANS = 64
"""Rows of the lists of pedestrians; the nearest are first, and missing ones are 0."""
CHANNELS = (0, 1, -1, 2)
"""Places of obstacles, pedestrians, robot and both in the grid; -1: not there."""
LARGEST = float(np.finfo(np.float32).max)


def socnav_space(grid_width_m: float) -> spaces.Dict:
    """Return the Dict of the observation with a grid of this width."""
    cells = OccupancyGrid(grid_width_m).cells

    def box(low: float, high: float, *shape: int) -> spaces.Box:
        return spaces.Box(low, high, shape, np.float32)

    def position(*shape: int) -> spaces.Box:
        return box(0.0, np.inf, *shape)

    meta = "occupancy_grid_meta_"
    return spaces.Dict(
        {
            "goal_current": position(2),
            "goal_next": position(2),
            "map_size": position(2),
            "occupancy_grid": box(0.0, 1.0, 3, cells, cells),
            f"{meta}center_on_robot": box(0.0, 1.0, 1),
            f"{meta}channel_indices": spaces.Box(-1, np.iinfo(np.int32).max, (4,), np.int32),
            f"{meta}origin": box(-np.inf, np.inf, 2),
            f"{meta}resolution": box(0.0, np.inf, 1),
            f"{meta}robot_pose": box(-np.inf, np.inf, 3),
            f"{meta}size": box(0.0, np.inf, 2),
            f"{meta}use_ego_frame": box(0.0, 1.0, 1),
            "pedestrians_count": box(0.0, PEDESTRIANS, 1),
            "pedestrians_positions": position(PEDESTRIANS, 2),
            "pedestrians_radius": position(1),
            "pedestrians_velocities": box(-MAX_SPEED, MAX_SPEED, PEDESTRIANS, 2),
            "robot_angular_velocity": box(-LARGEST, LARGEST, 1),
            "robot_heading": box(-math.pi, math.pi, 1),
            "robot_position": position(2),
            "robot_radius": position(1),
            "robot_speed": box(-MAX_SPEED, MAX_SPEED, 2),
            "robot_velocity_xy": box(-MAX_SPEED, MAX_SPEED, 2),
            "sim_timestep": box(0.0, LARGEST, 1),
        }
    )


class SocNavObservation:
    """Builds the observation of each step."""

    def __init__(self, grid_width_m: float) -> None:
        """Prepare what is the same in every step."""
        self.grid = OccupancyGrid(grid_width_m)
        self._constant = {
            "occupancy_grid_meta_center_on_robot": _row(1.0),
            "occupancy_grid_meta_channel_indices": np.array(CHANNELS, np.int32),
            "occupancy_grid_meta_origin": _row(-grid_width_m / 2, -grid_width_m / 2),
            "occupancy_grid_meta_resolution": _row(RESOLUTION),
            "occupancy_grid_meta_size": _row(grid_width_m, grid_width_m),
            "occupancy_grid_meta_use_ego_frame": _row(1.0),
            "pedestrians_radius": _row(PEDESTRIAN_RADIUS),
            "robot_radius": _row(ROBOT_RADIUS),
            "sim_timestep": _row(DT),
        }

    def observe(self, layout: Layout, simulator: Simulator, route: Route) -> Observation:
        """Return the observation now."""
        robot, (positions, velocities) = simulator.robot, simulator.pedestrians
        x_min, y_min, x_max, y_max = layout.bounds
        corner = np.array([x_min, y_min])
        heading = wrap_angle(robot.heading)
        after = route.waypoints[route.index + 1 : route.index + 2]
        return {
            **self._constant,
            "goal_current": _position(route.waypoint - corner),
            "goal_next": _position(after[0] - corner) if after else _row(0.0, 0.0),
            "map_size": _position(np.array([x_max - x_min, y_max - y_min])),
            "occupancy_grid": self.grid.draw(layout, robot, positions),
            "occupancy_grid_meta_robot_pose": _row(robot.x - x_min, robot.y - y_min, heading),
            "robot_angular_velocity": _row(robot.yaw_rate),
            "robot_heading": _row(heading),
            "robot_position": _position(np.array([robot.x, robot.y]) - corner),
            "robot_speed": _row(robot.speed, robot.yaw_rate),
            "robot_velocity_xy": _row(robot.speed * math.cos(heading), robot.speed * math.sin(heading)),
            **_pedestrians(robot, positions, velocities, corner),
        }


def _pedestrians(robot: RobotState, positions: FloatArray, velocities: FloatArray, corner: FloatArray) -> Observation:
    """Return the lists of pedestrians, nearest first; velocities are in the robot's frame."""
    places, speeds = np.zeros((2, PEDESTRIANS, 2), np.float32)
    order = np.argsort(np.hypot(positions[:, 0] - robot.x, positions[:, 1] - robot.y))[:PEDESTRIANS]
    count, (vx, vy) = len(order), velocities[order].T
    cosine, sine = math.cos(robot.heading), math.sin(robot.heading)
    places[:count] = _position(positions[order] - corner)
    speeds[:count] = np.stack([cosine * vx + sine * vy, cosine * vy - sine * vx], 1).clip(-MAX_SPEED, MAX_SPEED)
    return {"pedestrians_count": _row(count), "pedestrians_positions": places, "pedestrians_velocities": speeds}


def _row(*values: float) -> Float32Array:
    return np.array(values, np.float32)


def _position(metres: FloatArray) -> Float32Array:
    return metres.clip(0.0).astype(np.float32)
