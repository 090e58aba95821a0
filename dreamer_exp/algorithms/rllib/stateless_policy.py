"""The deterministic policy of a network without a recurrent state, for N episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor


class StatelessPolicy:
    """Policy that takes the most likely actions; it has neither state nor noise.

    Args:
        module: the network; its critics may be missing.
        most_likely: returns the actions of the actor's outputs: (N, A) in [-1, 1], or integers (N,) for Discrete.
        rows: N.
        device: "cpu" or "cuda", to which the network is moved; None for that of the network.
    """

    def __init__(
        self, module: RLModule, most_likely: Callable[[Tensor], Tensor], rows: int, device: str | None = None
    ) -> None:
        self._module, self._most_likely = module if device is None else module.to(device), most_likely
        self._device = next(module.parameters()).device

    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row: nothing is kept."""

    @torch.no_grad()
    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions for observations (N, O)."""
        batch = {Columns.OBS: torch.as_tensor(observations, device=self._device)}
        outputs = self._module.forward_inference(batch)[Columns.ACTION_DIST_INPUTS]
        actions: NDArray[Any] = self._most_likely(outputs).cpu().numpy()
        return actions
