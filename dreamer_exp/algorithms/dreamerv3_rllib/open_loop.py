"""Open-loop prediction of RLlib's world model."""

import torch
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.utils.torch_utils import inverse_symlog
from torch import Tensor


def imagine(  # noqa: PLR0917
    module: RLModule, seen: Tensor, is_first: Tensor, actions: Tensor, gamma: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictions as `protocol.Imagine` describes; the continue head does not contain the discount."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        return _imagine(module, seen, is_first, actions)


@torch.no_grad()
def _imagine(module: RLModule, seen: Tensor, is_first: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Predict with the parts of RLlib 2.60's world model, as its `dream_trajectory` combines them."""
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
    proceeds = [model.continue_predictor(h=h, z=z, return_distribution=True)[1].probs for h, z in states]
    return inverse_symlog(observation) if model.symlog_obs else observation, reward, torch.stack(proceeds, 1)
