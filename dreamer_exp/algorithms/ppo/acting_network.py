"""PPO's network as an `ActingNetwork`, without RLlib: the same parameters and operations.

Source: RLlib 2.60, ray/rllib/algorithms/ppo and ray/rllib/core/models/torch (Apache License 2.0).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.acting_network import ActingNetwork, State
from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.rllib.acting_mlp import Layers, ModelFreeNetwork

MAX_LOG_STD = 20.0


def build(description: Mapping[str, Any]) -> ActingNetwork:
    """Return the network of a policy.json, on torch's default device, with arbitrary weights."""
    action = description["action"]
    return PPONetwork(description["network"], description["observation_size"], action["size"], action["kind"])


class PPONetwork(ModelFreeNetwork):
    """Separate actor and critic.

    Args:
        network: as in policy.json.
        observation_size: O.
        action_size: A.
        kind: "box" or "discrete".
    """

    def __init__(self, network: Mapping[str, Any], observation_size: int, action_size: int, kind: str) -> None:
        super().__init__(observation_size, action_size, discrete=kind == "discrete")
        hiddens, activation = network["fcnet_hiddens"], network["fcnet_activation"]
        self._free = free = network["free_log_std"] and not self.discrete
        self.encoder = nn.ModuleDict(
            {name: Layers(observation_size, hiddens, activation) for name in ("actor_encoder", "critic_encoder")}
        )
        self.pi = Layers(hiddens[-1], [action_size if self.discrete or free else 2 * action_size])
        if free:
            self.pi.register_parameter("log_std", nn.Parameter(torch.zeros(action_size)))
        self.vf = Layers(hiddens[-1], [1])

    def step(self, observation: Tensor, state: State, uniform: Tensor, noise: Tensor | None) -> tuple[Tensor, State]:
        """Return the actions and the next state."""
        outputs = self.pi(self.encoder["actor_encoder"](observation))
        if self.discrete:
            probabilities = torch.softmax(outputs, -1)
            action = probabilities.argmax(-1) if noise is None else draw_classes(probabilities, noise[..., 0])
            return action, (observation,)
        action = outputs[..., : self.action_size]
        if noise is not None:
            log_std = self.pi.get_parameter("log_std") if self._free else outputs[..., self.action_size :]
            action = action + torch.exp(log_std.clamp(-MAX_LOG_STD, MAX_LOG_STD)) * noise
        return action.clamp(-1.0, 1.0), (observation,)

    def value(self, state: State) -> Tensor:
        """Return the critic's estimate of the return (N,)."""
        value: Tensor = self.vf(self.encoder["critic_encoder"](state[0]))[..., 0]
        return value
