"""Sizes of networks of linear layers, and their values in policy.json, without other packages."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from dreamer_exp.algorithms.policy_values import is_count

ACTIVATIONS = ("tanh", "relu", "silu")


def mlp_weights(inputs: int, hiddens: list[int], outputs: int) -> int:
    """Return the number of weights of hidden layers and an output layer."""
    return sum((before + 1) * units for before, units in pairwise([inputs, *hiddens, outputs]))


def is_layers(value: Any) -> bool:
    """Return whether a value of policy.json is a list of layer sizes."""
    return isinstance(value, list) and bool(value) and all(map(is_count, value))


def is_network(network: Any, names: Mapping[str, Any]) -> bool:
    """Return whether `network` of a policy.json has these names, each with a value that its test accepts."""
    if not isinstance(network, dict) or set(network) != set(names):
        return False
    return all(test(network[name]) for name, test in names.items())


def is_activation(value: Any) -> bool:
    """Return whether a value of policy.json is the name of an activation."""
    return value in ACTIVATIONS
