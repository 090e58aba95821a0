"""The agent as an `ActingNetwork`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dreamer_exp.algorithms import acting_network
from dreamer_exp.algorithms.acting_network import ActingNetwork, Prediction
from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import two_hot_mean
from dreamer_exp.algorithms.dreamerv3.observation_parts import read_parts
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


def build(description: Mapping[str, Any]) -> ActingNetwork:
    """Return the network of a policy.json, on torch's default device, with arbitrary weights."""
    action = description["action"]
    kind = ActionKind(action["size"], action["kind"] == "discrete")
    size = NetworkSize(**description["network"])
    parts = read_parts(description.get("observation"))
    agent = Agent(size, description["observation_size"], kind, description["symlog_obs"], parts)
    if acting_only := bool(description.get("acting_only")):
        agent.remove_learner_only()
    return AgentNetwork(agent, has_heads=not acting_only)


class AgentNetwork(ActingNetwork):
    """An agent; its state is deter (N, D), stoch (N, S*C) and the last action (N, A)."""

    continues_with_discount = True

    def __init__(self, agent: Agent, has_heads: bool = True) -> None:
        super().__init__()
        self.agent, self.has_heads = agent, has_heads
        self.action_size, self.discrete, self.stoch = agent.action.size, agent.action.discrete, agent.size.stoch
        self.state_shapes = {
            "deter": (agent.size.deter,),
            "stoch": (agent.size.latent,),
            "action": (agent.action.size,),
        }

    def initial(self, rows: int) -> acting_network.State:
        """Return zeros."""
        weight = self.agent.rssm.posterior_in.weight
        return tuple(weight.new_zeros(rows, *shape) for shape in self.state_shapes.values())

    def step(
        self, observation: Tensor, state: acting_network.State, uniform: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, acting_network.State]:
        """Return the actions and the next state, by the operations of `AgentPolicy.act`."""
        agent = self.agent
        deter, stoch, last_action = state
        tokens = agent.encoder(observation)
        posterior, _ = agent.rssm.observe_step(State(deter, stoch), last_action, tokens, uniform)
        action = agent.choose(posterior, noise)
        if self.discrete:
            return action.argmax(-1), (*posterior, action)
        action = action.clamp(-1.0, 1.0)
        return action, (*posterior, action)

    def value(self, state: acting_network.State) -> Tensor:
        """Return the critic's estimate of the return (N,)."""
        logits = self.agent.critic(_feature(state))
        # in float64: bins reach 5e8 and cancel, so that a runtime's rounding of the softmax would show
        return two_hot_mean(logits.double(), self.agent.bins.double()).to(logits.dtype)

    def imagine(self, state: acting_network.State, action: Tensor, uniform: Tensor) -> acting_network.State:
        """Return the next state under the prior."""
        rssm = self.agent.rssm
        # (N, D)
        deter = rssm.next_deter(State(*state[:2]), action)
        # (N, S, C)
        probabilities = rssm.prior(deter)
        classes = draw_classes(probabilities, uniform)
        stoch = torch.zeros_like(probabilities).scatter_(-1, classes[..., None], 1.0).flatten(-2)
        return deter, stoch, action

    def predict(self, state: acting_network.State) -> Prediction:
        """Return what decoder, reward head and continue head predict."""
        agent, feature = self.agent, _feature(state)
        return Prediction(
            agent.decoder.predict(feature),
            two_hot_mean(agent.reward(feature), agent.bins),
            torch.sigmoid(agent.cont(feature)[..., 0]),
        )


def _feature(state: acting_network.State) -> Tensor:
    return State(*state[:2]).feature
