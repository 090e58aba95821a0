"""env=gym: any registered Gymnasium environment with Box or Discrete actions."""

from typing import Any

import gymnasium

from dreamer_exp.config.errors import UserError, first_line
from dreamer_exp.envs.crowd_nav.baselines import STRAIGHT_TO_GOAL
from dreamer_exp.envs.gym import dm_control
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.gym.flat_observation import flattened
from dreamer_exp.envs.spec import EnvSpec, RawEnv


def make(config: GymConfig, render_mode: str | None) -> RawEnv:
    """Return the environment of `config.id`, with a time limit and without nested observations.

    Raises:
        UserError: there is no such id, module or package, or it does not take these arguments.
    """
    dm_control.register(config.id, config.label)
    rendering: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}  # not every env has the argument
    try:
        # no env checker: the contract checks more, and warns of nothing
        made: RawEnv = gymnasium.make(config.id, disable_env_checker=True, **rendering, **config.kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise UserError(f"{config.label} cannot be made: {first_line(error)}") from error
    return gymnasium.wrappers.TimeLimit(flattened(made), config.max_steps)


def imported_key(config: GymConfig) -> str | None:
    """Return `env.id` if it names a module, as `module:Name-v0`."""
    return "env.id" if ":" in config.id else None


SPEC = EnvSpec(
    name="gym",
    config=GymConfig,
    make=make,
    baselines={"straight_to_goal": STRAIGHT_TO_GOAL},
    imports=imported_key,
)
