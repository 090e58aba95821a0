"""The spaces of a Robot SF environment: those declared, and those known without the package."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav import spaces as crowd_nav
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.package import HOW

SOCNAV = "socnav_struct"
SOCNAV_PEDESTRIANS = 64
"""Rows for pedestrians in a socnav_struct observation, unless the map has more pedestrians."""
DEFAULT_GRID = {"width": 20.0, "height": 20.0, "resolution": 0.1}
"""Metres; the defaults of Robot SF's GridConfig."""
DEFAULT_CHANNELS = ("obstacles", "pedestrians")

PI = float(np.float32(math.pi))

MAP_SIZED = (
    "goal_current", "goal_next", "map_size", "pedestrians_positions", "pedestrians_radius", "robot_position",
    "robot_radius",
)  # fmt: skip
"""Entries whose upper bound is the size of the map, which differs between scenarios."""

# sections of env.config that cannot change the spaces; the effect of any other needs the package
SHAPELESS = {
    "sim_config", "map_pool", "map_id", "render_scaling", "sample_positions_globally", "observation_visibility",
    "use_planner", "planner_clearance_margin", "planner_backend", "planner_classic_config", "navigation_settings",
    "peds_have_static_obstacle_forces", "peds_have_robot_repulsion", "show_occupancy_grid", "grid_visualization_alpha",
}  # fmt: skip
GRID_SECTIONS = {"observation_mode", "use_occupancy_grid", "include_grid_in_observation", "grid_config"}
HELD_FALSE = {"use_image_obs", "predictive_foresight_enabled", "include_route_waypoints", "rollover_proxy_enabled"}


def declared(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space that the adapter declares for Robot SF's space.

    Bounds that are the size of a map become infinite. They differ between scenarios, so that one contract could hold
    neither for a matrix, nor for training on one map and evaluation on another.
    """
    if not isinstance(space, spaces.Dict):
        return space
    return spaces.Dict({key: _opened(key, box) for key, box in space.spaces.items()})


def _opened(key: str, box: spaces.Space[Any]) -> spaces.Space[Any]:
    if key not in MAP_SIZED or not isinstance(box, spaces.Box):
        return box
    return spaces.Box(box.low, np.full(box.shape, np.inf, np.float32), dtype=np.float32)


def known(config: RobotSFConfig) -> tuple[spaces.Dict, spaces.Box]:
    """Return the observation and action space of this configuration, without the package.

    Raises:
        UserError: the effect of a section of env.config on the spaces isn't known without the package.
    """
    given = config.config
    if unknown := _unknown_sections(config):
        raise UserError(
            f"{unknown[0]}: the observation under it is known only to the package robot_sf, which is missing. {HOW}"
        )
    observation = crowd_nav.observation_space()
    if given.get("observation_mode") == SOCNAV:
        most = (given.get("sim_config") or {}).get("max_total_pedestrians")
        observation = socnav_space(SOCNAV_PEDESTRIANS if most is None else int(most))
    if given.get("include_grid_in_observation"):
        observation = spaces.Dict({**observation.spaces, **grid_entries(given.get("grid_config") or {})})
    return observation, crowd_nav.action_space()


def _unknown_sections(config: RobotSFConfig) -> list[str]:
    """Return the keys whose effect on the spaces isn't known here."""
    given = config.config
    known_ones = SHAPELESS | GRID_SECTIONS | {key for key in HELD_FALSE if given.get(key) is False}
    found = [f"env.config.{key}" for key in sorted(set(given) - known_ones)]
    if "stack_steps" in (given.get("sim_config") or {}):
        found.append("env.config.sim_config.stack_steps")
    modes = (None, "default_gym", SOCNAV) if given.get("include_grid_in_observation") else (None, "default_gym")
    if given.get("observation_mode") not in modes:
        found.append("env.config.observation_mode")
    if config.factory_kwargs.get("asymmetric_critic"):
        found.append("env.factory_kwargs.asymmetric_critic")
    return found


def socnav_space(pedestrians: int = SOCNAV_PEDESTRIANS) -> spaces.Dict:
    """Return the entries of observation_mode=socnav_struct with a grid: metres, m/s, radians."""
    huge = float(np.finfo(np.float32).max)
    return spaces.Dict(
        {
            "goal_current": _box(0.0, math.inf, (2,)),
            "goal_next": _box(0.0, math.inf, (2,)),
            "map_size": _box(0.0, math.inf, (2,)),
            "pedestrians_count": _box(0.0, pedestrians, (1,)),
            "pedestrians_positions": _box(0.0, math.inf, (pedestrians, 2)),
            "pedestrians_radius": _box(0.0, math.inf, (1,)),
            "pedestrians_velocities": _box(-2.0, 2.0, (pedestrians, 2)),
            "robot_angular_velocity": _box(-huge, huge, (1,)),
            "robot_heading": _box(-PI, PI, (1,)),
            "robot_position": _box(0.0, math.inf, (2,)),
            "robot_radius": _box(0.0, math.inf, (1,)),
            "robot_speed": _box(-2.0, 2.0, (2,)),
            "robot_velocity_xy": _box(-2.0, 2.0, (2,)),
            "sim_timestep": _box(0.0, huge, (1,)),
        }
    )


def grid_entries(grid: Mapping[str, Any]) -> dict[str, spaces.Box]:
    """Return the occupancy grid (channels, rows, columns) of a grid_config, and the entries that describe it."""
    sizes = {**DEFAULT_GRID, **{key: float(grid[key]) for key in DEFAULT_GRID if key in grid}}
    columns, rows = (math.ceil(sizes[side] / sizes["resolution"]) for side in ("width", "height"))
    channels = len(grid.get("channels", DEFAULT_CHANNELS))
    return {
        "occupancy_grid": _box(0.0, 1.0, (channels, rows, columns)),
        "occupancy_grid_meta_center_on_robot": _box(0.0, 1.0, (1,)),
        "occupancy_grid_meta_channel_indices": spaces.Box(-1, np.iinfo(np.int32).max, (4,), np.int32),
        "occupancy_grid_meta_origin": _box(-math.inf, math.inf, (2,)),
        "occupancy_grid_meta_resolution": _box(0.0, math.inf, (1,)),
        "occupancy_grid_meta_robot_pose": _box(-math.inf, math.inf, (3,)),
        "occupancy_grid_meta_size": _box(0.0, math.inf, (2,)),
        "occupancy_grid_meta_use_ego_frame": _box(0.0, 1.0, (1,)),
    }


def _box(low: float, high: float, shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(low, high, shape, np.float32)
