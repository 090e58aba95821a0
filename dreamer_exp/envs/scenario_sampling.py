"""`env.failure_floor`: training draws scenarios by weights that follow the policy's failures."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.spec import spec_of

STREAM = 5  # spawn key of an episode's seed, for the draws


class ScenarioSampling(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """An environment whose scenario is drawn at each reset by weights that can be changed, and given as an option.

    The draws depend on the seed of the last reset that had one, and on the weights. Scenario and seed of an episode are
    in its info, and repeat it.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], weights: Mapping[str, float]) -> None:
        """Draw by these weights, by name, until others are set."""
        RecordConstructorArgs.__init__(self, weights=dict(weights))
        gymnasium.Wrapper.__init__(self, env)
        self._rng = np.random.default_rng()
        self.set_scenario_weights(weights)

    def set_scenario_weights(self, weights: Mapping[str, float]) -> None:
        """Draw the next scenarios by these weights."""
        total = sum(weights.values())
        self._names, self._shares = list(weights), [weight / total for weight in weights.values()]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in a drawn scenario, unless the options name one."""
        if seed is not None:
            self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAM,)))
        drawn = self._names[self._rng.choice(len(self._names), p=self._shares)]
        return self.env.reset(seed=seed, options={"scenario": drawn, **(options or {})})


def follows_failures(env: EnvConfig) -> bool:
    """Return whether the weights of the scenarios follow the failures."""
    return env.failure_floor < 1.0


def drawn_scenarios(env: EnvConfig) -> Mapping[str, float]:
    """Return the weights of the scenarios that training draws, by name.

    Raises:
        UserError: There are less than two.
    """
    weights = spec_of(env).drawn(env)
    if len(weights) < 2:
        raise UserError(
            f"env.failure_floor={env.failure_floor:g}: {env.label} draws no scenarios by weight with these options; "
            "use env.failure_floor=1."
        )
    return weights
