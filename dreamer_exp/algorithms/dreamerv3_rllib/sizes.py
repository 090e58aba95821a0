"""RLlib's sizes of the network by `algo.model_size`, and the numbers of its weights, without ray or torch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dreamer_exp.algorithms.policy_values import PolicyFormat, is_bool, is_count

NETWORK = ("model_size", "batch_length_T")  # `network` in policy.json
# trained and slow weights of RLlib's networks: a fixed number, and a number per float of the observation
WEIGHTS = {
    "nano": (20e3, 33), "micro": (63e3, 65), "mini": (282e3, 129), "XXS": (1.68e6, 257), "XS": (3.88e6, 513),
    "S": (11.96e6, 1025), "M": (25.07e6, 1281), "L": (54.73e6, 1537), "XL": (146.66e6, 2049),
}  # fmt: skip
ROUNDING = 0.9  # WEIGHTS are rounded


class Width(NamedTuple):
    """Sizes of RLlib's network (ray.rllib.algorithms.dreamerv3.utils of RLlib 2.60)."""

    units: int  # of a hidden layer
    deter: int  # D, recurrent units
    stoch: int  # S, categoricals, and C, classes of each
    layers: int  # of encoder, decoder, heads


WIDTHS = {
    "nano": Width(16, 16, 4, 1),
    "micro": Width(32, 32, 8, 1),
    "mini": Width(64, 64, 16, 1),
    "XXS": Width(128, 128, 32, 1),
    "XS": Width(256, 256, 32, 1),
    "S": Width(512, 512, 32, 2),
    "M": Width(640, 1024, 32, 3),
    "L": Width(768, 2048, 32, 4),
    "XL": Width(1024, 4096, 32, 5),
}
SIZES = tuple(WIDTHS)


def fits_network(network: Any) -> bool:
    """Return whether `network` of a policy.json names a size of RLlib's and a batch length."""
    if not isinstance(network, dict) or set(network) != set(NETWORK):
        return False
    return network["model_size"] in SIZES and is_count(network["batch_length_T"])


def policy_weights(description: Mapping[str, Any]) -> int:
    """Return the number of weights that the network of a policy.json has at least."""
    fixed, per_float = WEIGHTS[description["network"]["model_size"]]
    return int(ROUNDING * (fixed + per_float * description["observation_size"]))


POLICY_FORMAT = PolicyFormat({"network": fits_network, "symlog_obs": is_bool}, policy_weights)
