"""The baselines of each environment: its own, and `random`."""

import copy
from collections.abc import Mapping
from typing import Any

from gymnasium.spaces import Dict

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.make import spaces_of
from dreamer_exp.envs.spec import Baseline, BaselineSpec, RawEnv, spec_of

DEFAULT = ["random", "straight_to_goal", "goal", "orca"]
"""evaluation.baselines of the option files: for any environment, which has some of them."""


class Random:
    """Uniform samples of any action space."""

    def __init__(self, env: RawEnv, seed: int) -> None:
        """Copy the action space, so that the environment's own generator isn't used."""
        self._space = copy.deepcopy(env.action_space)
        self._space.seed(seed)

    def reset(self) -> None:
        """Continue the same stream of actions."""

    def act(self, observation: Any) -> Any:
        """Return a sample of the action space; the observation isn't read."""
        return self._space.sample()


def baselines_of(env: EnvConfig) -> Mapping[str, BaselineSpec]:
    """Return the baselines of an environment by name, applicable under these options or not."""
    return {"random": BaselineSpec(Random), **spec_of(env).baselines}


def make_baseline(name: str, config: EnvConfig, env: RawEnv, seed: int) -> Baseline:
    """Return the baseline of this name for a raw environment made with `config`.

    Raises:
        UserError: the environment has no baseline of this name.
    """
    specs = baselines_of(config)
    if name not in specs:
        hint = nearest(name, list(specs))
        raise UserError(
            f"evaluation.baselines: env={config.name} has no baseline {name!r}.{hint} It has: {', '.join(specs)}."
        )
    return specs[name].make(env, seed)


def options_of(name: str, env: EnvConfig) -> EnvConfig:
    """Return the options with which a baseline drives this environment: with the observations that it reads."""
    options: EnvConfig = baselines_of(env)[name].driven_with(env)
    return options


def split_applicable(names: list[str], env: EnvConfig) -> tuple[list[str], list[str]]:
    """Return these baselines as (those that can drive this environment here, those that cannot)."""
    possible = [name for name in names if name in baselines_of(env) and _can_drive(name, env)]
    return possible, [name for name in names if name not in possible]


def _can_drive(name: str, env: EnvConfig) -> bool:
    spec = baselines_of(env)[name]
    if spec.lacks() is not None or not spec.reads:
        return spec.lacks() is None
    observations = spaces_of(options_of(name, env))[0]
    return isinstance(observations, Dict) and observations.spaces.keys() >= set(spec.reads)


def lack_of(name: str, env: EnvConfig) -> str | None:
    """Return what a baseline of this environment lacks here (BaselineSpec.lacks); None for any other one."""
    specs = baselines_of(env)
    return specs[name].lacks() if name in specs else None


def choose_baselines(names: list[str], env: EnvConfig) -> tuple[list[str], list[str]]:
    """Return those of the requested baselines that can drive, and a line for each reason why others cannot.

    Baselines of other environments are left out of the default list silently.
    """
    possible, impossible = split_applicable(names, env)
    lacks = {name: lack for name in impossible if (lack := lack_of(name, env)) is not None}
    lines = [f"no row for the baseline {name}: it {lack}" for name, lack in lacks.items()]
    if names != DEFAULT and (others := [name for name in impossible if name not in lacks]):
        lines.append(f"not for env={env.name}: baseline {', '.join(others)}")
    return possible, lines
