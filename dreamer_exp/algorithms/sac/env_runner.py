"""Env runner of SAC: actions are drawn from the squashed distribution."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from dreamer_exp.algorithms.rllib.vector_env_runner import VectorEnvRunner
from dreamer_exp.algorithms.sac.acting_network import MAX_LOG_STD, MIN_LOG_STD


class SquashedEnvRunner(VectorEnvRunner):
    """VectorEnvRunner with RLlib's actor."""

    def _make_policy(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def _act(
        self, observations: NDArray[np.float32], is_first: NDArray[np.bool_], explore: bool
    ) -> tuple[NDArray[Any], NDArray[Any], Mapping[str, NDArray[Any]]]:
        batch = {Columns.OBS: torch.from_numpy(observations)}
        outputs = self.module.forward_exploration(batch)[Columns.ACTION_DIST_INPUTS]
        mean, log_std = outputs.chunk(2, dim=-1)
        if explore:
            noise = torch.randn(mean.shape, generator=self._generator)
            mean = mean + torch.exp(log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)) * noise
        actions = torch.tanh(mean).numpy()
        return actions, actions, {}
