"""Open-loop prediction: what the world model expects of given actions without seeing their observations."""

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import two_hot_mean
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import join
from dreamer_exp.algorithms.dreamerv3.world_model.imagination import Imagination
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


@torch.no_grad()
def open_loop(  # noqa: PLR0917
    agent: Agent, seen: Tensor, is_first: Tensor, actions: Tensor, gamma: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return predicted observations (N, H+1, O), rewards (N, H+1) and continue probabilities (N, H+1).

    The first entries belong to the last observed step, the others to H imagined ones. Latents are drawn from the
    posterior while observing and from the prior while imagining, as in training.

    Args:
        agent: the complete network.
        seen: observations (N, T, O).
        is_first: 1 where an episode begins (N, T); the state before it is reset.
        actions: one after each observed step, then one after each imagined step but the last (N, T-1+H, A).
        gamma: the discount that training multiplies into the continue head's target.
        generator: of the latents' noise.
    """
    rows, steps = seen.shape[:2]
    # (N, T, A): no action leads to the first step
    previous = functional.pad(actions[:, : steps - 1], (0, 0, 1, 0))
    # H tensors (N, A)
    next_actions = actions[:, steps - 1 :].unbind(1)
    # (T+H, N, S)
    noise = torch.rand(steps + len(next_actions), rows, agent.size.stoch, generator=generator, device=seen.device)
    tokens, start = agent.encoder(seen), agent.rssm.initial(rows)
    states, _ = agent.rssm.observe(tokens, previous, is_first, start, noise[:steps].transpose(0, 1))
    imagination = Imagination(agent.rssm, State(states.deter[:, -1], states.stoch[:, -1]), len(next_actions))
    features = [imagination.feature]
    for action, uniform in zip(next_actions, noise[steps:], strict=True):
        imagination.step(action, uniform)
        features.append(imagination.feature)
    # (H+1)*N rows
    feature = join(features)
    outputs = (
        agent.decoder.predict(feature),
        two_hot_mean(agent.reward(feature), agent.bins),
        (torch.sigmoid(agent.cont(feature)[..., 0]) / gamma).clamp(max=1.0),
    )
    # ((H+1)*N, ...) -> (N, H+1, ...)
    observation, reward, proceeds = (output.unflatten(0, (-1, rows)).transpose(0, 1) for output in outputs)
    return observation, reward, proceeds
