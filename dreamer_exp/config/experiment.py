"""The resolved experiment: typed, frozen, without "auto"; its YAML and its fingerprint."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from dreamer_exp.config.schema import (
    AlgoConfig,
    EnvConfig,
    EvaluationConfig,
    ObsContractConfig,
    RunConfig,
    TrackingConfig,
)
from dreamer_exp.rundir.formats import current_format

WITHOUT_EFFECT = {
    "run": ("id", "log_level", "objective", "checkpoint_every", "keep_checkpoints"),
    "hardware": ("name", "num_cpus", "ray_address"),
    "obs_contract": ("name",),
    "evaluation": ("name",),
}
LATER = {"run": ("max_minutes", "max_env_steps", "stop_when")}
"""Keys that earlier experiments lack; without a value they are left out, so that the fingerprint is the same."""


@dataclass(frozen=True)
class Hardware:
    """HardwareConfig with every "auto" replaced by a number."""

    name: str
    num_cpus: int
    num_env_runners: int
    num_envs_per_env_runner: int
    rollout_fragment_length: int
    overlap_sampling: bool
    num_learners: int
    num_gpus_per_learner: int
    ray_address: str | None

    @property
    def num_envs(self) -> int:
        """Environments stepped in an iteration, over all processes."""
        return max(1, self.num_env_runners) * self.num_envs_per_env_runner

    @property
    def env_steps_per_iteration(self) -> int:
        """Env steps that one iteration samples."""
        return self.num_envs * self.rollout_fragment_length

    @property
    def learner_threads(self) -> int:
        """Threads of a learner: on a CPU, one for each CPU without an env runner; on a GPU, one.

        With a GPU, more threads only wait for each other. With one thread instead of one per CPU, an H200 was busy
        92 % of the time instead of 43 %, and made 159 updates/s instead of 75 (size 12M, 16 CPUs).
        """
        return 1 if self.num_gpus_per_learner else max(1, self.num_cpus - self.num_env_runners)


@dataclass(frozen=True)
class Experiment:
    """Complete description of one run."""

    run: RunConfig
    env: EnvConfig
    obs_contract: ObsContractConfig
    algo: AlgoConfig  # the resolved dataclass of the algorithm (algorithms/<name>/config.py)
    hardware: Hardware
    tracking: TrackingConfig
    evaluation: EvaluationConfig

    def to_dict(self) -> dict[str, Any]:
        """Return the tree of keys and values, as in experiment.yaml."""
        return asdict(self)

    def to_yaml(self) -> str:
        """Return the text of experiment.yaml: its format, the fingerprint, and the tree."""
        tree = {"format": current_format("experiment.yaml"), "fingerprint": self.fingerprint(), **self.to_dict()}
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)

    def fingerprint(self) -> str:
        """Return the fingerprint of the tree."""
        return fingerprint(self.to_dict())


def fingerprint(tree: Mapping[str, Any]) -> str:
    """Return 16 hex digits, equal for two experiments exactly if all values that affect their results are equal.

    The names of options, log level, checkpoints, tracking and the address of Ray are left out.

    Args:
        tree: As `Experiment.to_dict` returns it.
    """
    affecting = {group: dict(values) for group, values in tree.items() if group != "tracking"}
    for group, names in WITHOUT_EFFECT.items():
        for name in names:
            del affecting[group][name]
    for group, names in LATER.items():
        affecting[group] = {name: value for name, value in affecting[group].items() if value or name not in names}
    return hashlib.sha256(json.dumps(affecting, sort_keys=True).encode()).hexdigest()[:16]
