"""Sizes of the network by `algo.model_size`."""

from dataclasses import dataclass, fields
from typing import Any

from dreamer_exp.algorithms.rllib.base_config import is_count

BINS = 255  # outputs of the reward head and of the critics


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of the network; the letters are those of algorithms/dreamerv3/__init__.py. Output layers don't count."""

    deter: int  # D, recurrent units
    hidden: int  # units of the recurrent core's inner layers
    classes: int  # C, classes of each of the S categoricals
    units: int  # units of encoder, decoder and heads
    stoch: int = 32  # S, categoricals
    blocks: int = 8  # G, of the block-diagonal recurrent core
    encoder_layers: int = 3
    decoder_layers: int = 3
    prior_layers: int = 2
    posterior_layers: int = 1
    reward_layers: int = 1
    continue_layers: int = 1
    actor_layers: int = 3
    critic_layers: int = 3

    @property
    def latent(self) -> int:
        """Width of the flattened stochastic state, S * C."""
        return self.stoch * self.classes

    @property
    def feature(self) -> int:
        """Width of the heads' input, D + S * C."""
        return self.deter + self.latent


# Source of 1M to 200M: danijar/dreamerv3, configs.yaml (size1m to size200m), for arXiv:2301.04104v2, table "model
# sizes". XS has as many parameters as RLlib's XS on 831 observations; nano is for tests and small tasks.
SIZES = {
    "nano": NetworkSize(
        deter=64, hidden=32, classes=8, units=64, stoch=8, blocks=4,
        encoder_layers=1, decoder_layers=1, prior_layers=1, actor_layers=1, critic_layers=1,
    ),
    "XS": NetworkSize(
        deter=512, hidden=256, classes=32, units=256,
        encoder_layers=1, decoder_layers=1, prior_layers=1, actor_layers=1, critic_layers=1,
    ),
    "1M": NetworkSize(deter=512, hidden=64, classes=4, units=64),
    "12M": NetworkSize(deter=2048, hidden=256, classes=16, units=256),
    "25M": NetworkSize(deter=3072, hidden=384, classes=24, units=384),
    "50M": NetworkSize(deter=4096, hidden=512, classes=32, units=512),
    "100M": NetworkSize(deter=6144, hidden=768, classes=48, units=768),
    "200M": NetworkSize(deter=8192, hidden=1024, classes=64, units=1024),
}  # fmt: skip
# RLlib's names, for the published size of about as many parameters: on 831 observations RLlib's have 11.6M, 23.8M,
# 51.7M and 138.7M, and these 10.1M, 22.4M, 39.4M and 155.4M
SIZES |= {"S": SIZES["12M"], "M": SIZES["25M"], "L": SIZES["50M"], "XL": SIZES["200M"]}


def fits_network(network: Any) -> bool:
    """Return whether `network` of a policy.json has NetworkSize's fields, with values that make a network."""
    if not isinstance(network, dict) or {field.name for field in fields(NetworkSize)} != set(network):
        return False
    return all(map(is_count, network.values())) and network["deter"] % network["blocks"] == 0
