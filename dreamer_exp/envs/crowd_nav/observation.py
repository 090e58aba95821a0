"""The observation: drive state, noisy rays, and the stack of the last rows."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.constants import (
    DISTANCE_CAP,
    DRIVE_STATE_SIZE,
    LIDAR_RANGE,
    MAX_SPEED,
    MAX_YAW_RATE,
    RAY_MISS_PROBABILITY,
    RAY_OFFSETS_START,
    RAY_SHORT_PROBABILITY,
    RAYS,
    STACK,
)
from dreamer_exp.envs.crowd_nav.kinematics import RobotState
from dreamer_exp.envs.crowd_nav.route import Route
from dreamer_exp.envs.crowd_nav.scenarios.layout import Float32Array, FloatArray

Observation = dict[str, NDArray[Any]]

RAY_ANGLES: FloatArray = RAY_OFFSETS_START + np.arange(RAYS, dtype=np.float64) * (math.tau / RAYS)
"""Radians counter-clockwise from the heading."""


def drive_state(robot: RobotState, route: Route) -> tuple[float, float, float, float, float]:
    """Return one row of the drive state, normalised (columns: see `spaces.observation_space`)."""
    return (
        robot.speed / MAX_SPEED,
        robot.yaw_rate / MAX_YAW_RATE,
        min(route.distance(robot), DISTANCE_CAP) / DISTANCE_CAP,
        route.bearing(robot) / math.pi,
        route.turn(robot) / math.pi,
    )


def add_ray_noise(
    rays: Float32Array,
    rng: np.random.Generator,
    miss: float = RAY_MISS_PROBABILITY,
    short: float = RAY_SHORT_PROBABILITY,
) -> None:
    """Add noise to normalised rays (N,) in place.

    With probability `miss` a ray is 1, else with probability `short` it is scaled by U(0, 1).

    One uniform draw u per ray decides both. The ray misses if u < miss; if u lies in the next slice, the position of u
    within that slice is uniform and is the scale.
    """
    altered = miss + (1.0 - miss) * short
    draws = rng.random(len(rays))
    for ray in np.flatnonzero(draws < altered):
        if draws[ray] < miss:
            rays[ray] = 1.0
        else:
            rays[ray] *= (draws[ray] - miss) / (altered - miss)


class ObservationStack:
    """The last rows of both entries, oldest first."""

    def __init__(self) -> None:
        """Allocate both stacks."""
        self._drive_state = np.zeros((STACK, DRIVE_STATE_SIZE), dtype=np.float32)
        self._rays = np.zeros((STACK, RAYS), dtype=np.float32)

    def fill(self, row: tuple[float, ...], rays: Float32Array) -> Observation:
        """Set every row to this one and return a copy; for a reset."""
        self._drive_state[:] = row
        self._rays[:] = rays
        return self._copy()

    def push(self, row: tuple[float, ...], rays: Float32Array) -> Observation:
        """Drop the oldest row, append this one, and return a copy."""
        self._drive_state[:-1] = self._drive_state[1:]
        self._drive_state[-1] = row
        self._rays[:-1] = self._rays[1:]
        self._rays[-1] = rays
        return self._copy()

    def _copy(self) -> Observation:
        return {"drive_state": self._drive_state.copy(), "rays": self._rays.copy()}


def normalised(ranges: Float32Array) -> Float32Array:
    """Return ranges (272,) in metres divided by the lidar's range, as a new array."""
    return np.multiply(ranges, np.float32(1.0 / LIDAR_RANGE), dtype=np.float32)
