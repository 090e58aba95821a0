"""Which baselines each environment has."""

from typing import Any

import pytest

from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.robot_sf.config import RobotSFConfig

NAMES = ["random", "straight_to_goal", "orca", "hl"]
GRID: dict[str, Any] = {
    "observation_mode": "socnav_struct", "use_occupancy_grid": True, "include_grid_in_observation": True
}  # fmt: skip


@pytest.mark.parametrize(
    ("env", "applicable"),
    [
        (CrowdNavConfig(), NAMES),
        (GymConfig(), ["random"]),
        (GymConfig(id="dreamer_exp/CrowdNav-v0"), ["random", "straight_to_goal"]),
        (RobotSFConfig(), ["random", "straight_to_goal"]),
        (RobotSFConfig(config=GRID), ["random"]),
    ],
    ids=["crowd_nav", "gym", "gym that observes drive_state", "robot_sf", "robot_sf without drive_state"],
)
def test_baselines_of_other_environments_and_with_unobserved_entries_are_left_out(
    env: EnvConfig, applicable: list[str]
) -> None:
    assert split_applicable(NAMES, env) == (applicable, [name for name in NAMES if name not in applicable])
