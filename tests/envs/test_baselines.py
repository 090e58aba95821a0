"""Which baselines each environment has."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.baselines import DEFAULT, choose_baselines, split_applicable
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from tests.experiments import nano

NAMES = ["random", "straight_to_goal", "orca", "hl"]
GRID: dict[str, Any] = {
    "observation_mode": "socnav_struct", "use_occupancy_grid": True, "include_grid_in_observation": True
}  # fmt: skip


@pytest.mark.parametrize(
    ("env", "applicable"),
    [
        (CrowdNavConfig(), NAMES),
        (CrowdNavConfig(observation="socnav_struct"), NAMES),
        (GymConfig(), ["random"]),
        (GymConfig(id="dreamer_exp/CrowdNav-v0"), ["random", "straight_to_goal"]),
        (RobotSFConfig(), ["random", "straight_to_goal"]),
        (RobotSFConfig(config=GRID), ["random"]),
    ],
    ids=[
        "crowd_nav",
        "crowd_nav without drive_state",
        "gym",
        "gym that observes drive_state",
        "robot_sf",
        "robot_sf without drive_state",
    ],
)
def test_baselines_of_other_environments_and_with_unobserved_entries_are_left_out(
    env: EnvConfig, applicable: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)  # Robot SF's planners are in test_robot_sf_planners.py
    assert split_applicable(NAMES, env) == (applicable, [name for name in NAMES if name not in applicable])


def test_the_default_list_is_that_of_the_option_files() -> None:
    assert nano().evaluation.baselines == DEFAULT


@pytest.mark.parametrize("env", [CrowdNavConfig(), GymConfig()], ids=["crowd_nav", "gym"])
def test_baselines_of_the_default_list_are_left_out_silently(env: EnvConfig) -> None:
    assert choose_baselines(DEFAULT, env) == (split_applicable(DEFAULT, env)[0], [])


def test_requested_baselines_of_other_environments_are_one_line() -> None:
    assert choose_baselines(["goal", "random", "hl"], GymConfig()) == (
        ["random"],
        ["not for env=gym: baseline goal, hl"],
    )


@pytest.mark.skipif(find_spec("rvo2") is not None, reason="rvo2 is installed")
def test_a_missing_package_is_a_line_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", Path)  # nothing of Robot SF is imported to find out
    assert choose_baselines(["orca"], RobotSFConfig()) == (
        [],
        [
            "no row for the baseline orca: it needs the package rvo2, which Robot SF brings as source: "
            "pip install <checkout>/third_party/python-rvo2"
        ],
    )
