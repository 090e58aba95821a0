"""The options of env=crowd_nav."""

from dataclasses import dataclass, field

from dreamer_exp.config.schema import EnvConfig, key
from dreamer_exp.envs.crowd_nav.constants import (
    LIDAR,
    OBSERVATIONS,
    PEDESTRIAN_MAX_SPEED,
    PEDESTRIAN_SPEED,
    RAY_MISS_PROBABILITY,
    RAY_SHORT_PROBABILITY,
    ROUTE_CLEARANCE,
    START_CLEARANCE,
)


@dataclass(frozen=True)
class CrowdNavReward:
    """Weights of crowd_nav's reward terms, after Robot SF's route_completion_v3 (see reward.py)."""

    progress: float = key(2.2, "per metre of progress along the route")
    living: float = key(-0.01, "per step")
    collision: float = key(-10.0, "once, at a collision")
    near_miss: float = key(-1.0, "per step with a pedestrian's surface closer than 0.5 m")
    comfort: float = key(-0.5, "per step, times 1 - clearance / 1 m to the nearest pedestrian, clipped to 0 to 1")
    smoothness: float = key(-0.2, "per step, times the change of the action, 0 to 1")
    timeout: float = key(-3.0, "once, at the step limit")
    terminal_bonus: float = key(3.0, "once, at success")


@dataclass(frozen=True)
class CrowdNavRanges:
    """Ranges [low, high] from which crowd_nav draws; the defaults are Robot SF's values (see ranges.py)."""

    pedestrian_speed: list[float] = key(
        [PEDESTRIAN_SPEED, PEDESTRIAN_MAX_SPEED], "m/s at which a pedestrian walks, up to 2"
    )
    ray_miss: list[float] = key(
        [RAY_MISS_PROBABILITY] * 2, "probability that a noisy ray reads its maximum, one for each episode"
    )
    ray_short: list[float] = key(
        [RAY_SHORT_PROBABILITY] * 2, "probability that a noisy ray reads too little, one for each episode"
    )
    passage_scale: list[float] = key(
        [1.0, 1.0],
        "factor of the width of doors and of aisles between boxes, one for each episode; a door is never narrower than "
        "the robot with its wall clearance",
    )
    wall_clearance: list[float] = key(
        [ROUTE_CLEARANCE, ROUTE_CLEARANCE],
        "least metres between the robot's surface and walls at start, goal and along the route, one for each episode",
    )
    start_clearance: list[float] = key(
        [START_CLEARANCE, START_CLEARANCE],
        "least metres between the surfaces of robot and pedestrians at the start, one for each episode",
    )


@dataclass(frozen=True)
class CrowdNavConfig(EnvConfig):
    """The embedded crowd-navigation environment."""

    name: str = key("crowd_nav", "the environment", choices=("crowd_nav",))
    scenario: str = key("mixed", "a scenario family, or `mixed`: drawn at each reset by scenario_weights")
    scenario_weights: dict[str, float] = key(
        dict.fromkeys(("open", "crossing", "corridor", "doorway", "intersection", "blocks", "dense"), 1.0),
        "relative frequency of each family under `mixed`; 0 leaves it out",
    )
    lidar_noise: bool = key(True, "lidar noise, drawn from the seed of the episode")
    observation: str = key(
        LIDAR,
        "lidar: drive_state and rays; socnav_struct: Robot SF's lists of objects and an occupancy grid",
        choices=OBSERVATIONS,
    )
    grid_width: float = key(
        6.4, "metres of each side of socnav_struct's grid, in cells of 0.2 m around the robot", low=1.6, high=64.0
    )
    ranges: CrowdNavRanges = field(default_factory=CrowdNavRanges)
    reward: CrowdNavReward = field(default_factory=CrowdNavReward)
