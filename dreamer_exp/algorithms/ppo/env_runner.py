"""Env runner of PPO: chunks have the distributions that the actions were drawn from."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from dreamer_exp.algorithms.rllib.vector_env_runner import VectorEnvRunner


class ActorEnvRunner(VectorEnvRunner):
    """VectorEnvRunner with RLlib's actor: Box actions are recorded as drawn, and clipped for the environment."""

    def _make_policy(self, seed: int) -> None:
        assert self.env is not None
        self._generator = torch.Generator().manual_seed(seed)
        self._discrete = isinstance(self.env.single_action_space, gymnasium.spaces.Discrete)
        self._distribution = self.module.get_exploration_action_dist_cls()

    @torch.no_grad()
    def _act(
        self, observations: NDArray[np.float32], is_first: NDArray[np.bool_], explore: bool
    ) -> tuple[NDArray[Any], NDArray[Any], Mapping[str, NDArray[Any]]]:
        batch = {Columns.OBS: torch.from_numpy(observations)}
        logits = self.module.forward_exploration(batch)[Columns.ACTION_DIST_INPUTS]
        actions = self._draw(logits) if explore else mode(logits, self._discrete)
        outputs = {
            Columns.ACTION_DIST_INPUTS: logits.numpy(),
            Columns.ACTION_LOGP: self._distribution.from_logits(logits).logp(actions).numpy(),
        }
        recorded = actions.numpy()
        return recorded if self._discrete else np.clip(recorded, -1.0, 1.0), recorded, outputs

    def _draw(self, logits: torch.Tensor) -> torch.Tensor:
        if self._discrete:
            return torch.multinomial(torch.softmax(logits, -1), 1, generator=self._generator)[:, 0]
        mean, log_std = logits.chunk(2, dim=-1)
        return mean + torch.exp(log_std) * torch.randn(mean.shape, generator=self._generator)


def mode(logits: torch.Tensor, discrete: bool) -> torch.Tensor:
    """Return the most likely actions: integers (N,), or means (N, A)."""
    return logits.argmax(-1) if discrete else logits.chunk(2, dim=-1)[0]
