"""Which baseline policies an environment can have."""

from gymnasium.spaces import Dict

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import CrowdNavConfig, EnvConfig
from dreamer_exp.envs.crowd_nav.baselines import BASELINES, Baseline, make_baseline
from dreamer_exp.envs.make import spaces_of

__all__ = ["BASELINES", "Baseline", "make_baseline", "split_applicable"]


def split_applicable(names: list[str], env: EnvConfig) -> tuple[list[str], list[str]]:
    """These baselines as (those the environment can have, those it cannot).

    `random` goes everywhere, `straight_to_goal` where `drive_state` is observed, `orca` and `hl` in crowd_nav.

    Raises:
        UserError: a name that is no baseline.
    """
    for name in names:
        if name not in BASELINES:
            raise UserError(f"evaluation.baselines: {name!r} is not one of: {', '.join(BASELINES)}.")
    possible = {"random"}
    observations = spaces_of(env)[0]
    if isinstance(observations, Dict) and "drive_state" in observations.spaces:
        possible.add("straight_to_goal")
    if isinstance(env, CrowdNavConfig):
        possible |= {"orca", "hl"}
    return [name for name in names if name in possible], [name for name in names if name not in possible]
