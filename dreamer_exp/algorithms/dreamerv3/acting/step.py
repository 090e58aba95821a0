"""One acting step of the agent: filter the observation, choose an action; no gradient.

`observe_step` is one step of `Rssm.observe` in the layout as published: the core's inputs are concatenated, so that no
weight is sliced or copied. What `observe` hoists out of its loop over T steps costs more than it saves at T = 1.
"""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import draw_classes, unimix_probabilities
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


@torch.no_grad()
def act(  # noqa: PLR0917  # the parts of one step, all of them tensors but two
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
    keep = 1.0 - is_first[:, None]
    kept = State(state.deter * keep, state.stoch * keep)
    new, _ = observe_step(agent, kept, previous_action * keep, observation, posterior_noise)
    return choose(agent, new, action_noise), new


def choose(agent: Agent, state: State, noise: Tensor | None) -> Tensor:
    """Actions (N, A) of the actor in the state (N, ...); the mode without noise."""
    output = agent.actor(state.feature)
    return agent.action.mode(output) if noise is None else agent.action.sample(output, noise)


def observe_step(
    agent: Agent, state: State, previous_action: Tensor, observation: Tensor, noise: Tensor
) -> tuple[State, Tensor]:
    """The state (N, ...) after the observation (N, O), and the classes (N, S) that were drawn for it."""
    tokens = agent.encoder(observation)
    deter = _next_deter(agent, state, previous_action)
    rssm, size = agent.rssm, agent.size
    hidden = rssm.posterior_norm(rssm.posterior_in(torch.cat([deter, tokens], -1)))
    probabilities = unimix_probabilities(rssm.posterior_out(hidden).unflatten(-1, (size.stoch, size.classes)))
    classes = draw_classes(probabilities, noise)
    one_hot = torch.zeros_like(probabilities).scatter_(-1, classes[..., None], 1.0)
    return State(deter, one_hot.flatten(-2)), classes


def _next_deter(agent: Agent, state: State, previous_action: Tensor) -> Tensor:
    """The recurrent core, (N, D)."""
    rssm, size = agent.rssm, agent.size
    action = previous_action / previous_action.abs().clamp(min=1.0)
    shared = torch.cat([rssm.from_deter(state.deter), rssm.from_stoch(state.stoch), rssm.from_action(action)], -1)
    grouped = state.deter.unflatten(-1, (size.blocks, -1))  # (N, G, D / G)
    inner = rssm.core(torch.cat([grouped, shared[:, None].expand(-1, size.blocks, -1)], -1))
    gates = rssm.gates(rssm.core_norm(inner.flatten(-2)).view_as(grouped))
    reset, candidate, update = gates.chunk(3, -1)
    candidate = torch.tanh(torch.sigmoid(reset) * candidate)
    return torch.lerp(grouped, candidate, torch.sigmoid(update - 1.0)).flatten(-2)
