"""env=crowd_nav. Importing this module imports no simulator."""

from collections.abc import Mapping

from dreamer_exp.envs.crowd_nav import options, spaces
from dreamer_exp.envs.crowd_nav.baselines import BASELINES
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.crowd_nav.constants import DT, LIDAR_RANGE, SOCNAV_STRUCT
from dreamer_exp.envs.crowd_nav.ranges import check_ranges
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES
from dreamer_exp.envs.spec import EnvSpec, RawEnv, Spaces, Unit


def make(config: CrowdNavConfig, render_mode: str | None) -> RawEnv:
    """Return the environment."""
    from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv

    return CrowdNavEnv(
        scenario=config.scenario,
        max_steps=config.max_steps,
        scenario_weights=config.scenario_weights,
        lidar_noise=config.lidar_noise,
        observation=config.observation,
        grid_width=config.grid_width,
        ranges=config.ranges,
        reward=config.reward,
        render_mode=render_mode,
    )


def check_and_describe(config: CrowdNavConfig) -> Spaces:
    """Return the spaces; raise UserError for an unknown scenario, a wrong weight or a wrong range."""
    options.check_scenario(config.scenario)
    options.family_probabilities(config.scenario_weights)
    check_ranges(config.ranges)
    return spaces.observed(config.observation, config.grid_width), spaces.action_space()


def drawn(config: CrowdNavConfig) -> Mapping[str, float]:
    """Return the families that are drawn under `mixed`, with their weights."""
    return options.family_probabilities(config.scenario_weights) if config.scenario == options.MIXED else {}


def units(config: CrowdNavConfig) -> Mapping[str, Unit]:
    """Return the units: rays in metres."""
    if config.observation == SOCNAV_STRUCT:
        return {}
    return {"rays": Unit("m", LIDAR_RANGE), "drive_state": Unit("normalised")}


SPEC = EnvSpec(
    name="crowd_nav",
    config=CrowdNavConfig,
    make=make,
    spaces=check_and_describe,
    baselines=BASELINES,
    selectable=lambda config: tuple(FAMILIES),
    drawn=drawn,
    units=units,
    step_s=lambda config: DT,
    packages=("navground", "gymnasium", "numpy"),
)
