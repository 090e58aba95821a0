"""Open-loop prediction of a world model: real steps observed, then only the actions that were taken.

Letters: N rows, T observed steps, H imagined ones, O observation, A actions.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.protocol import Imagine

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Imagined:
    """Of the last seen step and H imagined ones: observation (N, H+1, O) in the env's units, reward (N, H+1) received
    on arriving there, and `proceeds` (N, H+1), the probability that the episode goes on from there."""

    observation: Array
    reward: Array
    proceeds: Array


def imagine_open_loop(  # noqa: PLR0917
    imagine: Imagine, module: RLModule, seen: Array, is_first: Array, actions: NDArray[Any], gamma: float, seed: int
) -> Imagined:
    """Observe the seen steps, then imagine the results of the remaining actions.

    Latents are drawn, as in training, from a generator of their own: the same seed gives the same numbers, and torch's
    global generator is left as it was.

    Args:
        imagine: the algorithm's (protocol.Implementation).
        module: the complete network (policy_file.load_policy).
        seen: observations (N, T, O).
        is_first: 1 where an episode begins (N, T): the filter begins there, whatever stands before it.
        actions: one after each seen step, and on: (N, T-1+H, A) in [-1, 1], or (N, T-1+H) whole numbers for Discrete.
        gamma: the discount it was trained with.
        seed: of the latents.

    Raises:
        ValueError: the module is an env runner's, which has no heads.
    """
    if module.inference_only:
        raise ValueError("an env runner's network lacks the world model's heads: take the learner's.")
    device = next(module.parameters()).device
    observations, beginnings = torch.as_tensor(seen, device=device), torch.as_tensor(is_first, device=device)
    taken = torch.as_tensor(_as_vectors(actions, module.action_space), device=device)
    parts = imagine(module, observations, beginnings, taken, gamma, seed)
    return Imagined(*(part.cpu().numpy() for part in parts))


def _as_vectors(actions: NDArray[Any], space: gymnasium.Space[Any]) -> Array:
    """Return actions as the world model takes them: one-hot for Discrete."""
    if isinstance(space, gymnasium.spaces.Discrete):
        one_hot: Array = np.eye(int(space.n), dtype=np.float32)[actions]
        return one_hot
    return actions.astype(np.float32)
