"""The options of algo=dreamerv3_decay."""

from dataclasses import dataclass

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo, DreamerV3AlgoConfig, resolved_values
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.schema import key


@dataclass(frozen=True)
class DecayedDreamerConfig(DreamerV3AlgoConfig):
    """DreamerV3 whose weights decay after each update."""

    name: str = key("dreamerv3_decay", "the algorithm", choices=("dreamerv3_decay",))
    weight_decay: float = key(1e-4, "share of each weight that is removed after an update", low=0, high=1)


@dataclass(frozen=True)
class DecayedDreamer(DreamerV3Algo):
    """DecayedDreamerConfig with every "auto" replaced."""

    weight_decay: float = 1e-4


def resolve(config: DecayedDreamerConfig, hardware: Hardware) -> DecayedDreamer:
    """Return the config with a value for every "auto"."""
    return DecayedDreamer(**resolved_values(config, hardware))


def resolved(experiment: Experiment) -> DecayedDreamer:
    """Return the experiment's `algo`, which is this algorithm's."""
    assert isinstance(experiment.algo, DecayedDreamer)
    return experiment.algo
