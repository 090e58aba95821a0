"""The observation and action spaces, without a simulator (source: Robot SF contract, 40d0854)."""

import numpy as np
from gymnasium import spaces

from dreamer_exp.envs.crowd_nav.constants import DRIVE_STATE_SIZE, RAYS, SOCNAV_STRUCT, STACK
from dreamer_exp.envs.crowd_nav.socnav import socnav_space


def observed(observation: str, grid_width_m: float) -> spaces.Dict:
    """Return the space of an observation, `lidar` or `socnav_struct` with a grid of this width."""
    return socnav_space(grid_width_m) if observation == SOCNAV_STRUCT else observation_space()


def observation_space() -> spaces.Dict:
    """Return the Dict of `drive_state` Box(3, 5) and `rays` Box(3, 272), float32, rows oldest to newest.

    The columns of drive_state: linear speed / 2 m/s; yaw rate / 1 rad/s; distance to the current waypoint, capped at
    and divided by 50 m; bearing to it / pi; turn angle from it to the next waypoint / pi. Rays are ranges / 10 m.
    """
    low = np.array([0.0, -1.0, 0.0, -1.0, -1.0], dtype=np.float32)
    return spaces.Dict(
        {
            "drive_state": spaces.Box(np.tile(low, (STACK, 1)), np.ones((STACK, DRIVE_STATE_SIZE), dtype=np.float32)),
            "rays": spaces.Box(0.0, 1.0, (STACK, RAYS), np.float32),
        }
    )


def action_space() -> spaces.Box:
    """Return Box(-1, 1, (2,)), float32: linear acceleration in m/s^2 and angular acceleration in rad/s^2."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)
