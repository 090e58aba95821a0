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
    """Predictions for the last observed step and H imagined ones."""

    observation: Array  # (N, H+1, O), in the env's units
    reward: Array  # (N, H+1), received on arriving at the step
    proceeds: Array  # (N, H+1), probability that the episode continues after the step


def imagine_open_loop(  # noqa: PLR0917
    imagine: Imagine, module: RLModule, seen: Array, is_first: Array, actions: NDArray[Any], gamma: float, seed: int
) -> Imagined:
    """Observe T steps, then imagine the results of the remaining actions.

    Latents are sampled as in training, by a separate random generator: the same seed gives the same latents, and
    torch's global generator keeps its state.

    Args:
        imagine: The algorithm's (protocol.Implementation).
        module: The complete network (policy_file.load_policy).
        seen: Observations (N, T, O).
        is_first: 1 where an episode begins (N, T); steps before it have no effect.
        actions: The action after each observed step, then the further ones: (N, T-1+H, A) in [-1, 1], or integers
            (N, T-1+H) for Discrete.
        gamma: Discount of the training.
        seed: Seed of the latents.

    Raises:
        ValueError: The module is that of an env runner, which has no heads.
    """
    if module.inference_only:
        raise ValueError("an env runner's network lacks the world model's heads: use the learner's.")
    device = next(module.parameters()).device
    observations, beginnings = torch.as_tensor(seen, device=device), torch.as_tensor(is_first, device=device)
    taken = torch.as_tensor(as_vectors(actions, module.action_space), device=device)
    predictions = imagine(module, observations, beginnings, taken, gamma, seed)
    return Imagined(*(tensor.cpu().numpy() for tensor in predictions))


def as_vectors(actions: NDArray[Any], space: gymnasium.Space[Any]) -> Array:
    """Return actions as the world model takes them: one-hot for Discrete."""
    if isinstance(space, gymnasium.spaces.Discrete):
        one_hot: Array = np.eye(int(space.n), dtype=np.float32)[actions]
        return one_hot
    return actions.astype(np.float32)
