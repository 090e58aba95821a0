"""The network of `algo=ppo`: its description in policy.json, and the number of its weights, without ray or torch."""

from collections.abc import Mapping
from typing import Any

from dreamer_exp.algorithms.policy_values import PolicyFormat, is_bool
from dreamer_exp.algorithms.rllib.mlp_sizes import is_activation, is_layers, is_network, mlp_weights

NETWORK = {  # `network` in policy.json
    "fcnet_hiddens": is_layers,
    "fcnet_activation": is_activation,
    "free_log_std": is_bool,
}


def weights(network: Mapping[str, Any], observation_size: int, action: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of weights of the actor and of the critic.

    Args:
        network: as in policy.json.
        observation_size: O.
        action: `kind` and `size`, as in policy.json.
    """
    hiddens, size = network["fcnet_hiddens"], action["size"]
    is_box = action["kind"] == "box"
    outputs = 2 * size if is_box and not network["free_log_std"] else size
    actor = mlp_weights(observation_size, hiddens, outputs) + (size if is_box and network["free_log_std"] else 0)
    return actor, mlp_weights(observation_size, hiddens, 1)


def policy_weights(description: Mapping[str, Any]) -> int:
    """Return the number of weights that the network of a policy.json has."""
    return sum(weights(description["network"], description["observation_size"], description["action"]))


POLICY_FORMAT = PolicyFormat({"network": lambda network: is_network(network, NETWORK)}, policy_weights)
