"""The trained policy by itself: deterministic, batched, without RLlib's connectors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.dreamerv3.acting.policy import AgentPolicy
from dreamer_exp.algorithms.dreamerv3.module import AgentModule


class DreamerPolicy:
    """Acts in B environments at once with the mode of the actor's distribution.

    The posterior latent is sampled even so (RLlib 2.60), hence the generator: the same seed gives the same actions,
    and torch's global generator, which training draws from, is left as it was.
    """

    def __init__(self, module: RLModule, num_envs: int, seed: int) -> None:
        self._module = module
        self._device = next(self._module.parameters()).device
        self._discrete = hasattr(self._module.action_space, "n")
        with torch.random.fork_rng(devices=[]):  # RLlib draws a latent here too, and throws it away
            initial = self._module.get_initial_state()
        self._state = {
            name: torch.as_tensor(value, device=self._device).expand(num_envs, *value.shape).clone()
            for name, value in initial.items()
        }
        self._is_first = torch.ones(num_envs, device=self._device)
        self._random_state = _seeded_state(seed)

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Actions (B, A) in [-1, 1], or (B,) whole numbers for Discrete, of observations (B, size)."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            batch = {
                Columns.OBS: torch.as_tensor(observations, device=self._device)[:, None],
                Columns.STATE_IN: self._state,
                "is_first": self._is_first,
            }
            output = self._module.forward_inference(batch)
            self._random_state = torch.get_rng_state()
        self._state = output[Columns.STATE_OUT]
        self._is_first = torch.zeros_like(self._is_first)
        actions: NDArray[Any] = output[Columns.ACTIONS][:, 0].cpu().numpy()
        return actions if self._discrete else np.clip(actions, -1.0, 1.0)


def make_policy(module: RLModule, num_envs: int, seed: int) -> DreamerPolicy | AgentPolicy:
    """Return the deterministic policy of a network of either algorithm."""
    if isinstance(module, AgentModule):
        return AgentPolicy(module.agent, num_envs, seed)
    return DreamerPolicy(module, num_envs, seed)


def _seeded_state(seed: int) -> torch.Tensor:
    return torch.Generator().manual_seed(seed).get_state()
