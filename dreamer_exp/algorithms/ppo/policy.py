"""The deterministic policy of PPO's network for N episodes."""

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.ppo.env_runner import mode


class ModePolicy:
    """Policy that takes the most likely actions; it has neither state nor noise.

    Args:
        module: the network; the critic may be missing.
        rows: N.
    """

    def __init__(self, module: RLModule, rows: int) -> None:
        self._module = module
        self._device = next(module.parameters()).device
        self._discrete = isinstance(module.action_space, gymnasium.spaces.Discrete)

    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row: nothing is kept."""

    @torch.no_grad()
    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions (N, A) in [-1, 1], or integers (N,) for Discrete, for observations (N, O)."""
        batch = {Columns.OBS: torch.as_tensor(observations, device=self._device)}
        logits = self._module.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
        actions: NDArray[Any] = mode(logits, self._discrete).cpu().numpy()
        return actions if self._discrete else np.clip(actions, -1.0, 1.0)
