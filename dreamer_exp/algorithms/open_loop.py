"""Either learner's world model, open loop: real steps seen, then only the actions that were taken.

Letters as in dreamerv3/__init__.py: N rows, T seen steps, H imagined ones, O observation, A actions.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.torch_utils import inverse_symlog
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.module import AgentModule
from dreamer_exp.algorithms.dreamerv3.world_model.open_loop import open_loop

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Imagined:
    """Of the last seen step and H imagined ones: observation (N, H+1, O) in the env's units, reward (N, H+1) received
    on arriving there, and `proceeds` (N, H+1), the probability that the episode goes on from there."""

    observation: Array
    reward: Array
    proceeds: Array


def imagine_open_loop(  # noqa: PLR0917
    module: RLModule, seen: Array, is_first: Array, actions: NDArray[Any], gamma: float, seed: int
) -> Imagined:
    """Observe the seen steps, then imagine the results of the remaining actions.

    Latents are drawn, as in training, from a generator of their own: the same seed gives the same numbers, and torch's
    global generator is left as it was.

    Args:
        module: the whole network of either learner (policy_file.load_policy).
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
    if isinstance(module, AgentModule):
        generator = torch.Generator(device).manual_seed(seed)
        parts = open_loop(module.agent, observations, beginnings, taken, gamma, generator)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            parts = _stock_open_loop(module, observations, beginnings, taken)
    return Imagined(*(part.cpu().numpy() for part in parts))


@torch.no_grad()
def _stock_open_loop(
    module: RLModule, seen: Tensor, is_first: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """RLlib 2.60's world model by its own parts, as its `dream_trajectory` puts them together."""
    model, rows, steps = module.world_model, len(seen), seen.shape[1]
    state = {name: value.expand(rows, *value.shape) for name, value in module.get_initial_state().items()}
    for t in range(steps):
        if t:
            state["a"] = actions[:, t - 1]
        state = model.forward_inference(seen[:, t, None], state, is_first[:, t])
    h, z = state["h"], state["z"]
    states = [(h, z)]
    for action in actions[:, steps - 1 :].unbind(1):
        h = model.sequence_model(a=action, h=h, z=z)
        z = model.dynamics_predictor(h=h)
        states.append((h, z))
    observation = torch.stack([model.decoder(h=h, z=z) for h, z in states], 1)
    reward = torch.stack([inverse_symlog(model.reward_predictor(h=h, z=z)) for h, z in states], 1)
    going_on = [model.continue_predictor(h=h, z=z, return_distribution=True)[1].probs for h, z in states]
    return inverse_symlog(observation) if model.symlog_obs else observation, reward, torch.stack(going_on, 1)


def _as_vectors(actions: NDArray[Any], space: gymnasium.Space[Any]) -> Array:
    """Return actions as the world model takes them: one-hot for Discrete."""
    if isinstance(space, gymnasium.spaces.Discrete):
        one_hot: Array = np.eye(int(space.n), dtype=np.float32)[actions]
        return one_hot
    return actions.astype(np.float32)
