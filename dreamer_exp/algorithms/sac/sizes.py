"""The network of `algo=sac`: its description in policy.json, and the number of its weights, without ray or torch."""

from collections.abc import Mapping
from typing import Any

from dreamer_exp.algorithms.policy_values import PolicyFormat
from dreamer_exp.algorithms.rllib.mlp_sizes import is_activation, is_layers, is_network, mlp_weights

NETWORK = {"fcnet_hiddens": is_layers, "fcnet_activation": is_activation}  # `network` in policy.json


def weights(network: Mapping[str, Any], observation_size: int, action_size: int) -> tuple[int, int]:
    """Return the number of weights of the actor and of one critic.

    A critic encodes observation and action each by the hidden layers, and joins both by two layers of the last size.

    Args:
        network: as in policy.json.
        observation_size: O.
        action_size: A.
    """
    *hiddens, units = network["fcnet_hiddens"]
    actor = mlp_weights(observation_size, [*hiddens, units], 2 * action_size)
    encoders = sum(mlp_weights(inputs, hiddens, units) for inputs in (observation_size, action_size))
    joined = (2 * units + 1) * units + (3 * units + 1) * units + units + 1
    return actor, encoders + joined


def policy_weights(description: Mapping[str, Any]) -> int:
    """Return the number of weights that the network of a policy.json has: actor, two critics and their targets."""
    actor, critic = weights(description["network"], description["observation_size"], description["action"]["size"])
    return actor + 4 * critic


POLICY_FORMAT = PolicyFormat({"network": lambda network: is_network(network, NETWORK)}, policy_weights)
