"""SAC's network as an `ActingNetwork`, without RLlib: the same parameters and operations.

Source: RLlib 2.60, ray/rllib/algorithms/sac and ray/rllib/core/models/torch (Apache License 2.0).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.acting_network import ActingNetwork, State
from dreamer_exp.algorithms.rllib.acting_mlp import ACTIVATIONS, Layers, ModelFreeNetwork

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


def build(description: Mapping[str, Any]) -> ActingNetwork:
    """Return the network of a policy.json, on torch's default device, with arbitrary weights."""
    return SACNetwork(description["network"], description["observation_size"], description["action"]["size"])


class SACNetwork(ModelFreeNetwork):
    """Actor, two critics and their targets, which acting does not use.

    Args:
        network: as in policy.json.
        observation_size: O.
        action_size: A.
    """

    def __init__(self, network: Mapping[str, Any], observation_size: int, action_size: int) -> None:
        super().__init__(observation_size, action_size, discrete=False)
        hiddens, activation = network["fcnet_hiddens"], network["fcnet_activation"]
        self.pi_encoder = Layers(observation_size, hiddens, activation)
        self.pi = Layers(hiddens[-1], [2 * action_size])
        for name in ("qf", "qf_twin", "target_qf", "target_qf_twin"):
            encoder = CriticEncoder(observation_size, action_size, hiddens, activation)
            self.add_module(f"{name}_encoder", encoder)
            self.add_module(name, Layers(hiddens[-1], [1]))

    def step(self, observation: Tensor, state: State, uniform: Tensor, noise: Tensor | None) -> tuple[Tensor, State]:
        """Return the actions and the next state."""
        mean, log_std = self.pi(self.pi_encoder(observation)).chunk(2, dim=-1)
        if noise is not None:
            mean = mean + torch.exp(log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)) * noise
        return torch.tanh(mean), (observation,)

    def value(self, state: State) -> Tensor:
        """Return the smaller one of the critics' estimates for the most likely action (N,)."""
        (observation,) = state
        action = torch.tanh(self.pi(self.pi_encoder(observation)).chunk(2, dim=-1)[0])
        values = [
            self.get_submodule(name)(self.get_submodule(f"{name}_encoder")(observation, action))[..., 0]
            for name in ("qf", "qf_twin")
        ]
        return torch.minimum(*values)


class CriticEncoder(nn.Module):
    """Encoders of observation and action, and two layers that join both."""

    def __init__(self, observation_size: int, action_size: int, hiddens: Sequence[int], activation: str) -> None:
        super().__init__()
        units = hiddens[-1]
        self.base_encoders = nn.ModuleDict(
            {
                "actions": Layers(action_size, hiddens, activation),
                "obs": Layers(observation_size, hiddens, activation),
            }
        )
        self.fusion_layers = nn.ModuleList([nn.Linear(2 * units, units)])
        self.output_layer = nn.Linear(3 * units, units)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the encoding (N, units) of observations (N, O) and actions (N, A)."""
        encoded = torch.cat([self.base_encoders["actions"](action), self.base_encoders["obs"](observation)], -1)
        joined = self.activation(self.fusion_layers[0](encoded))
        output: Tensor = self.activation(self.output_layer(torch.cat([joined, encoded], -1)))
        return output
