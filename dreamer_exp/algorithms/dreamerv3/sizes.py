"""Sizes of the network by `algo.model_size`, and the numbers of its parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from dreamer_exp.algorithms.dreamerv3.observation_parts import (
    Part,
    all_convolutions,
    fits_parts,
    read_parts,
    vector_size,
)
from dreamer_exp.algorithms.policy_values import PolicyFormat, is_bool, is_count

BINS = 255  # outputs of the reward head and of the critics
ACTING = ("encoder", "rssm", "actor")  # parts of the network that acting needs


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


def policy_weights(description: Mapping[str, Any]) -> int:
    """Return the number of trained parameters of the network that a policy.json describes, or of its acting parts."""
    action = description["action"]
    network = NetworkSize(**description["network"])
    observation = read_parts(description.get("observation"))
    parts = parts_of(
        network, description["observation_size"], action["size"], action["kind"] == "discrete", observation
    )
    return sum(parts[name] for name in (ACTING if description.get("acting_only") else parts))


def parts_of(
    network: NetworkSize, observation_size: int, actions: int, is_discrete: bool, observation: Sequence[Part] = ()
) -> dict[str, int]:
    """Return the number of trained parameters of each part of the network (agent.py)."""
    deter, hidden, units, latent = network.deter, network.hidden, network.units, network.latent
    block = deter // network.blocks
    core = deter * (block + 3 * hidden + 1) + deter + 3 * deter * (block + 1)  # weights, norm, gates
    inner = sum(_mlp(inputs, hidden, 1) for inputs in (deter, latent, actions))
    convolved, vector = all_convolutions(observation, units), vector_size(observation)
    tokens = units if vector or not observation else 0
    tokens += sum(each.tokens for each in convolved)
    posterior = _mlp(deter + tokens, hidden, 1) + _mlp(hidden, hidden, network.posterior_layers - 1, latent)
    prior = _mlp(deter, hidden, network.prior_layers, latent)
    heads = {
        "reward": (network.reward_layers, BINS),
        "cont": (network.continue_layers, 1),
        "actor": (network.actor_layers, actions if is_discrete else 2 * actions),
        "critic": (network.critic_layers, BINS),
    }
    encoder = _mlp(observation_size, units, network.encoder_layers)
    decoder = _mlp(network.feature, units, network.decoder_layers, observation_size)
    if observation:
        encoder = _mlp(vector, units, network.encoder_layers) if vector else 0
        encoder += sum(each.encoder_weights() for each in convolved)
        decoder = _mlp(network.feature, units, network.decoder_layers) + (units + 1) * vector
        decoder += sum(each.decoder_weights(units) for each in convolved)
    return {
        "encoder": encoder,
        "decoder": decoder,
        "rssm": core + inner + posterior + prior,
        **{name: _mlp(network.feature, units, layers, outputs) for name, (layers, outputs) in heads.items()},
    }


def _mlp(inputs: int, units: int, layers: int, outputs: int | None = None) -> int:
    """Return the number of parameters of layers with bias and norm, and of an output layer with bias if given."""
    hidden = (inputs + 2 + (layers - 1) * (units + 2)) * units if layers else 0
    return hidden if outputs is None else hidden + ((units if layers else inputs) + 1) * outputs


POLICY_FORMAT = PolicyFormat(
    {"network": fits_network, "symlog_obs": is_bool, "observation": fits_parts}, policy_weights
)
