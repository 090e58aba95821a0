"""What the fast learner's world model makes of given actions without seeing what comes of them."""

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import symexp, two_hot_mean
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import join
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Dream, State


@torch.no_grad()
def open_loop(  # noqa: PLR0917
    agent: Agent, seen: Tensor, is_first: Tensor, actions: Tensor, gamma: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Observations (N, H+1, O), rewards (N, H+1) and chances of going on (N, H+1): of the last seen step, then of H
    imagined ones. Every latent is drawn, the posterior's and the prior's, as in the learner's imagination (`Dream`).

    Args:
        agent: the whole network.
        seen: observations (N, T, O), which are filtered.
        is_first: 1 where an episode begins (N, T): what stands before it is forgotten.
        actions: one after each seen step, and on (N, T-1+H, A).
        gamma: the discount, which training folds into what the continue head predicts.
        generator: of the latents' noise.
    """
    rows, steps = seen.shape[:2]
    led_there = functional.pad(actions[:, : steps - 1], (0, 0, 1, 0))  # none to the first
    to_come = actions[:, steps - 1 :].unbind(1)
    noise = torch.rand(steps + len(to_come), rows, agent.size.stoch, generator=generator, device=seen.device)
    empty, to_filter = agent.rssm.initial(rows), noise[:steps].transpose(0, 1)
    states, _ = agent.rssm.observe(agent.encoder(seen), led_there, is_first, empty, to_filter)
    dream = Dream(agent.rssm, State(states.deter[:, -1], states.stoch[:, -1]), len(to_come))
    features = [dream.feature]
    for action, uniform in zip(to_come, noise[steps:], strict=True):
        dream.step(action, uniform)
        features.append(dream.feature)
    feature = join(features)  # (H+1)*N rows
    observation = agent.decoder(feature)
    outputs = (
        symexp(observation) if agent.decoder.squash else observation,
        two_hot_mean(agent.reward(feature), agent.bins),
        (torch.sigmoid(agent.cont(feature)[..., 0]) / gamma).clamp(max=1.0),
    )
    observation, reward, proceeds = (output.unflatten(0, (-1, rows)).transpose(0, 1) for output in outputs)
    return observation, reward, proceeds
