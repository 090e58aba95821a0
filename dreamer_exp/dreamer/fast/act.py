"""One acting step of the agent: filter the observation, choose an action; no gradient."""

import torch
from torch import Tensor

from dreamer_exp.dreamer.fast.agent import Agent
from dreamer_exp.dreamer.fast.rssm import State


@torch.no_grad()
def act(
    agent: Agent,
    state: State,
    previous_action: Tensor,
    observation: Tensor,
    is_first: Tensor,
    posterior_noise: Tensor,
    action_noise: Tensor | None,
) -> tuple[Tensor, State]:
    """Actions (N, A) and the new state (N, ...).

    Args:
        agent: the network.
        state: before this observation (N, ...).
        previous_action: that led here (N, A), one-hot for Discrete.
        observation: (N, O), not squashed yet.
        is_first: 1 where an episode begins (N,): state and action before it are forgotten.
        posterior_noise: uniform (N, S) in [0, 1).
        action_noise: as ActionKind.sample wants it (N, noise); None takes the mode.
    """
    tokens = agent.encoder(agent.squash(observation))[:, None]
    states, _ = agent.rssm.observe(
        tokens, previous_action[:, None], is_first[:, None], state, posterior_noise[:, None]
    )
    new = State(states.deter[:, 0], states.stoch[:, 0])
    output = agent.actor(new.feature)
    kind = agent.action
    return (kind.mode(output) if action_noise is None else kind.sample(output, action_noise)), new
