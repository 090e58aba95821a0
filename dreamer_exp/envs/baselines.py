"""The baselines of each environment: its own, and `random`."""

import copy
from collections.abc import Mapping
from typing import Any

from gymnasium.spaces import Dict

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.make import spaces_of
from dreamer_exp.envs.spec import Baseline, BaselineSpec, RawEnv, spec_of


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


def split_applicable(names: list[str], env: EnvConfig) -> tuple[list[str], list[str]]:
    """Return these baselines as (those the environment has under these options, those it hasn't)."""
    specs, observations = baselines_of(env), spaces_of(env)[0]
    observed = set(observations.spaces) if isinstance(observations, Dict) else set()
    possible = [
        name
        for name in names
        if name in specs and observed.issuperset(specs[name].reads) and specs[name].is_available()
    ]
    return possible, [name for name in names if name not in possible]
