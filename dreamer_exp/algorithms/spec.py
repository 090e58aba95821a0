"""The interface of an algorithm: one AlgorithmSpec, found by its folder or by an entry point."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dreamer_exp.algorithms.protocol import Backend, Implementation
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.plugins import check_options, find_spec
from dreamer_exp.config.schema import AlgoConfig
from dreamer_exp.envs.contract import ObservationContract


class UpdateWork(NamedTuple):
    """How much an algorithm updates."""

    training_ratio: float
    """Replayed steps per env step."""
    batch: tuple[int, ...]
    """Shape of the steps in one update's batch, for example (B, T)."""
    windows: bool = False
    """Whether the first update waits for B different windows of T + 1 steps, not only for B x T steps."""
    first_env_steps: int | None = None
    """Env steps before those that owe updates; None: until a batch is stored."""

    @property
    def steps(self) -> int:
        """Replayed steps in one update."""
        return math.prod(self.batch)


@dataclass(frozen=True)
class MemoryModel:
    """What an algorithm keeps in memory."""

    weight_bytes: int
    """Weights of the complete network."""
    acting_bytes: int
    """Weights that an env runner has."""
    update_bytes: int = 0
    """Activations of one update on a CPU; 0 if unknown."""
    parameters: int | None = None
    """Number of trained parameters; None if unknown."""
    bytes_per_step: int = 0
    """Of the replay; 0 without one."""
    replay_capacity: int = 0
    """Env steps; 0 without a replay."""
    replay_on_gpu: bool = False
    replay_with_learner: bool = False
    """Whether the replay is in the learner's process; otherwise it is in the main process."""


class Imagination(NamedTuple):
    """How training imagines with the world model."""

    horizon: int
    """Imagined steps."""
    discount: float


def _accept_any_contract(experiment: Experiment, contract: ObservationContract) -> None:
    return None


def _know_no_weights(description: Mapping[str, Any]) -> int:
    return 0


def _keep_options(experiment: Experiment, contract: ObservationContract, gpu_memory_bytes: int) -> AlgoConfig:
    return experiment.algo


def _keep_options_on_cpu(experiment: Experiment) -> AlgoConfig:
    return experiment.algo


def _no_warnings(experiment: Experiment) -> list[str]:
    return []


def _no_kernels(algo: Any) -> int | None:
    return None


def _no_backend(algo: Any) -> Backend | None:
    return None


class WeightScope(NamedTuple):
    """Weights that `run.init_from` can take from a policy."""

    parts: tuple[str, ...]
    """First words of their names in policy.safetensors: "agent.encoder" for agent.encoder.0.weight."""
    sizes: tuple[str, ...]
    """Keys of policy.json that have to be equal, with everything below them: "network.units"."""


def _describe_no_network(algo: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class AlgorithmSpec:
    """One algorithm. Importing it imports neither ray nor torch; only `load` does.

    `algo` is the options as `resolve` returns them.
    """

    name: str
    """The option: `algo=<name>`."""
    config: type[AlgoConfig]
    """The options: a frozen dataclass derived from AlgoConfig, with fields made by `config.schema.key`."""
    resolve: Callable[[Any, Hardware], AlgoConfig]
    """Returns the options with a number for every "auto", on the hardware of the run."""
    check: Callable[[Experiment], None]
    """Raises UserError for values that cannot work together."""
    load: Callable[[], Implementation]
    """Imports the implementation, with ray and torch."""
    work: Callable[[Any], UpdateWork]
    """Returns how much `algo` updates."""
    memory: Callable[[Experiment, ObservationContract], MemoryModel]
    """Returns the memory model of settled options."""
    size: Callable[[Any], str]
    """Returns the size of the network as text: "XS"."""
    metrics: Mapping[str, str]
    """Names in result.jsonl (rundir/metric_names.py, or new ones) -> names in the learner's results."""
    policy_format: Mapping[str, Callable[[Any], bool]]
    """Keys of policy.json that describe the network -> whether a network can be built from a value."""
    policy_weights: Callable[[Mapping[str, Any]], int] = _know_no_weights
    """Returns the number of weights that the network of a policy.json has at least.

    It is compared with policy.safetensors before the network is built: a description can ask for any amount of memory.
    """
    metric_families: Mapping[str, str] = field(default_factory=dict)
    """First words of names in result.jsonl -> those in the learner's results; what follows depends on the run."""
    network: Callable[[Any], Mapping[str, Any]] = _describe_no_network
    """Returns the values of `policy_format` for the network that `algo` makes."""
    scopes: Mapping[str, WeightScope] = field(default_factory=dict)
    """By `run.init_scope`, the weights that a run can begin with; without them, `run.init_from` is refused."""
    check_contract: Callable[[Experiment, ObservationContract], None] = _accept_any_contract
    """Raises UserError for values that do not fit the environment's observations and actions."""
    warnings: Callable[[Experiment], list[str]] = _no_warnings
    """Returns what will work badly, one line each, with the key to change."""
    settle: Callable[[Experiment, ObservationContract, int], AlgoConfig] = _keep_options
    """Returns the options once the observation and the memory of the learner's GPU (bytes; 0: unknown) are known.

    Raises UserError for a replay that holds too few steps.
    """
    update_on_cpu: Callable[[Experiment], AlgoConfig] = _keep_options_on_cpu
    """Returns the options that compute the same update in one process on the CPU, with the smallest replay."""
    backend: Callable[[Any], Backend | None] = _no_backend
    """Returns the backend that `algo` leads to, as far as it is known without the GPU; None without a choice."""
    multiprocessors: Callable[[Any], int | None] = _no_kernels
    """Returns the multiprocessors that persistent kernels of `algo` take; None if it has none."""
    imagination: Callable[[Any], Imagination] | None = None
    """Returns how `algo` imagines; None without a world model."""
    network_keys: tuple[str, ...] = ()
    """Names of the options that change the network, and therefore cannot change on resume."""
    overlaps_sampling: bool = False
    """Whether it can sample the next iteration while it learns."""
    uses_learner_threads: bool = False
    """Whether a learner on the CPU computes with `hardware.learner_threads` threads."""
    conf: Path | None = None
    """A folder of option files (`algo/<name>.yaml`, `experiment/...`), for an algorithm outside this repository."""

    def __post_init__(self) -> None:
        """Raise TypeError if `config` cannot serve as the typed options."""
        check_options(self.config, AlgoConfig, self.name)

    def describe(self, algo: AlgoConfig, backend: Backend | None, place: str = "") -> str:
        """Return text such as "dreamerv3 on cpu (backend eager, precision float32), size XS"."""
        computing = f" ({backend})" if backend else ""
        return f"{self.name}{place}{computing}, size {self.size(algo)}"


def spec_of(config: AlgoConfig) -> AlgorithmSpec:
    """Return the spec of the algorithm that these options belong to.

    Raises:
        UserError: no algorithm has this name, or its plug-in cannot be imported.
    """
    spec: AlgorithmSpec = find_spec("algorithms", config.name)
    return spec
