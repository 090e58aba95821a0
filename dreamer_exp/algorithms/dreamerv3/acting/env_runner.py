"""Env runner of the published algorithm."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.dreamerv3.acting.chunks import DETER, STOCH
from dreamer_exp.algorithms.dreamerv3.acting.policy import AgentPolicy
from dreamer_exp.algorithms.rllib.vector_env_runner import VectorEnvRunner


class AgentEnvRunner(VectorEnvRunner):
    """VectorEnvRunner whose chunks have the latents that chose the actions."""

    def _make_policy(self, seed: int) -> None:
        self._policy = AgentPolicy(self.module.agent, self.num_envs, seed)

    def _act(
        self, observations: NDArray[np.float32], is_first: NDArray[np.bool_], explore: bool
    ) -> tuple[NDArray[Any], NDArray[Any], Mapping[str, NDArray[Any]]]:
        self._policy.explore = explore
        actions = self._policy.act(observations, is_first)
        return actions, actions, {DETER: self._policy.deter, STOCH: self._policy.stoch}
