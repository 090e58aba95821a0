"""What the world model of a policy predicts for a sequence of actions."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.acting_network import ActingNetwork
from dreamer_exp.algorithms.rows import RowNoise
from dreamer_exp.policy.contract import PolicyContract, Vector


class Imagined(NamedTuple):
    """Predictions after each of H actions; with several robots, N follows H."""

    observation: dict[str, Vector]
    """By key of the contract, (H, *shape) in the environment's numbers; the vector alone is under `observation`."""
    reward: Vector
    """(H,), received on arriving."""
    proceeds: Vector
    """(H,), probability that the episode continues after it."""


def imagine(
    network: ActingNetwork, state: tuple[Tensor, ...], noise: RowNoise, actions: Tensor, discount: float | None
) -> tuple[Vector, Vector, Vector]:
    """Return predicted vectors (H, N, O), rewards (H, N) and probabilities that the episode continues (H, N).

    Args:
        network: with its heads.
        state: of N robots.
        noise: of the latents.
        actions: (H, N, A) in [-1, 1], or one-hot.
        discount: of the training, which the continue head of dreamerv3 contains; None leaves it in.
    """
    predictions = []
    for action in actions:
        uniform = noise.uniform(network.stoch).to(action.device)
        state = network.imagine(state, action, uniform)
        predictions.append(network.predict(state))
    observation, reward, proceeds = (torch.stack(part) for part in zip(*predictions, strict=True))
    if network.continues_with_discount and discount:
        proceeds = (proceeds / discount).clamp(max=1.0)
    return observation.cpu().numpy(), reward.cpu().numpy(), proceeds.cpu().numpy()


def as_vectors(
    actions: Any, network: ActingNetwork, contract: PolicyContract | None, lead: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return the environment's actions as the world model takes them: (H, N, A), in [-1, 1] or one-hot.

    Raises:
        ValueError: another shape, no step, a number that is not finite, or an action that the environment lacks.
    """
    given = np.asarray(actions)
    expected = lead if network.discrete else (*lead, network.action_size)
    if given.ndim != 1 + len(expected) or given.shape[1:] != expected or given.dtype.kind not in "fiu":
        raise ValueError(f"actions: shape {given.shape}; imagining H steps needs (H, {', '.join(map(str, expected))})")
    if not len(given):
        raise ValueError("actions: none; imagining needs at least one step")
    if not np.isfinite(given).all():
        position = np.argwhere(~np.isfinite(given))[0].tolist()
        raise ValueError(f"actions{position} is {given[tuple(position)]}; it must be finite")
    if not network.discrete:
        scaled = given if contract is None else contract.from_robot(given)
        return scaled.astype(np.float32).reshape(len(given), -1, network.action_size)
    indices = given - (0 if contract is None else int(contract.low[0]))
    if given.dtype.kind == "f" or indices.min(initial=0) < 0 or indices.max(initial=0) >= network.action_size:
        raise ValueError(f"actions: whole numbers of {network.action_size} Discrete actions are needed")
    one_hot = functional.one_hot(torch.as_tensor(indices.astype(np.int64)), network.action_size)
    return one_hot.float().numpy().reshape(len(given), -1, network.action_size)


def by_key(vectors: Vector, contract: PolicyContract | None) -> dict[str, Vector]:
    """Return vectors (..., O) of the network as the environment's entries."""
    if contract is None:
        return {"observation": vectors}
    observed = contract.to_observed(vectors)
    return {
        entry.key: observed[..., entry.place].reshape(*observed.shape[:-1], *entry.shape) for entry in contract.entries
    }
