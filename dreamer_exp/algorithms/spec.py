"""The interface of an algorithm: one AlgorithmSpec, found by its folder or by an entry point."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.plugins import check_options, find_spec
from dreamer_exp.config.schema import AlgoConfig
from dreamer_exp.envs.contract import ObservationContract


def _accept_any_contract(experiment: Experiment, contract: ObservationContract) -> None:
    return None


@dataclass(frozen=True)
class AlgorithmSpec:
    """One algorithm. Importing it imports neither ray nor torch."""

    name: str
    """The option: `algo=<name>`."""
    config: type[AlgoConfig]
    """The options: a frozen dataclass derived from AlgoConfig, with fields made by `config.schema.key`."""
    resolve: Callable[[Any, Hardware], AlgoConfig]
    """Returns the options with a number for every "auto", on the hardware of the run."""
    check: Callable[[Experiment], None]
    """Raises UserError for values that cannot work together."""
    check_contract: Callable[[Experiment, ObservationContract], None] = _accept_any_contract
    """Raises UserError for values that do not fit the environment's observations and actions."""
    overlaps_sampling: bool = False
    """Whether it can sample the next iteration while it learns."""
    network_keys: tuple[str, ...] = ()
    """Names of the options that change the network, and therefore cannot change on resume."""
    conf: Path | None = None
    """A folder of option files (`algo/<name>.yaml`, `experiment/...`), for an algorithm outside this repository."""

    def __post_init__(self) -> None:
        """Raise TypeError if `config` cannot serve as the typed options."""
        check_options(self.config, AlgoConfig, self.name)


def spec_of(config: AlgoConfig) -> AlgorithmSpec:
    """Return the spec of the algorithm that these options belong to.

    Raises:
        UserError: no algorithm has this name, or its plug-in cannot be imported.
    """
    spec: AlgorithmSpec = find_spec("algorithms", config.name)
    return spec
