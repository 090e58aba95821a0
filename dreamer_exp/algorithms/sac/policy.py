"""The deterministic policy of SAC's network for N episodes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule


class MeanPolicy:
    """Policy that takes the squashed means; it has neither state nor noise.

    Args:
        module: the network; the critics may be missing.
        rows: N.
    """

    def __init__(self, module: RLModule, rows: int) -> None:
        self._module = module
        self._device = next(module.parameters()).device

    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row: nothing is kept."""

    @torch.no_grad()
    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions (N, A) in [-1, 1] for observations (N, O)."""
        batch = {Columns.OBS: torch.as_tensor(observations, device=self._device)}
        outputs = self._module.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
        actions: NDArray[Any] = torch.tanh(outputs.chunk(2, dim=-1)[0]).cpu().numpy()
        return actions
