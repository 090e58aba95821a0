"""Every key of the configuration with its type, default and meaning; one dataclass for each group.

`help` is printed in the table of docs/reference/keys.md. `low` and `high` are inclusive bounds, `above` is an exclusive
one, `choices` are the words allowed; checks.py checks them. A field typed `int | str` or `int | float | str` takes the
word "auto", which load.py replaces by a number. With `memory=True` it takes an amount of memory instead
(byte_sizes.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

AUTO = "auto"


def key(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[str] | None = None,
    memory: bool = False,
) -> Any:
    """Return a dataclass field with its documentation and its allowed values as metadata."""
    metadata = {"help": help, "low": low, "high": high, "above": above, "choices": choices, "memory": memory}
    if isinstance(default, (list, dict)):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class RunConfig:
    """One run: its name, seed and length."""

    id: str = key("dreamer", "name of the run; the first part of its directory")
    seed: int = key(123, "seeds Python, numpy, torch, RLlib, the replay sampler and every env", low=0, high=2**31 - 1)
    train_iterations: int = key(2000, "calls of RLlib's algo.train(): sample, update, push weights", low=1)
    max_minutes: float | None = key(
        None,
        "minutes that the run may take over all of its resumes (wall_time_s); it then ends as finished; null: no limit",
        above=0,
    )
    max_env_steps: int | None = key(
        None,
        "env steps after which the run ends as finished, with the iteration that reaches them; null: no limit",
        low=1,
    )
    stop_when: dict[str, float | None] = key(
        {},
        "goal that ends the run as finished: metrics of an evaluation and their values, reached in `for` evaluations "
        "in a row; or `plateau`, evaluations in a row without a better one; null takes a name out",
    )
    checkpoint_every: int = key(50, "iterations between checkpoints; the last iteration always writes one", low=1)
    keep_checkpoints: int = key(3, "newest checkpoints kept in addition to the best one", low=1)
    log_level: str = key(
        "INFO",
        "least severe message shown; Ray and RLlib log at DEBUG only",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    objective: str = key("success_rate", "figure of run_summary.json's `final` that the entry point returns")
    init_from: str | None = key(
        None,
        "directory of a run or a checkpoint, or pretrained:NAME, whose weights the run begins with; optimiser and "
        "replay begin empty; `init_from=...` for short",
    )
    init_scope: str = key(
        "all",
        "weights that init_from takes: all, those of the world model, or of its encoder; `init_scope=...` for short",
        choices=("all", "world_model", "encoder"),
    )


@dataclass(frozen=True)
class EnvConfig:
    """Keys of every environment."""

    name: str = key(MISSING, "the environment")
    max_steps: int = key(400, "steps after which an episode is truncated (a timeout)", low=1)
    action_repeat: int = key(
        1,
        "steps of the simulation for which each action is applied; env_steps count actions, env.max_steps the "
        "simulation's steps",
        low=1,
    )
    failure_floor: float = key(
        1.0,
        "training draws each scenario by its weight times its share of failures in its last 20 episodes, which counts "
        "as at least this; 1: by weight alone",
        above=0,
        high=1,
    )
    max_faults: int = key(
        10,
        "faulty steps of each training environment (observation or reward not finite or out of bounds) that only end "
        "their episode; one more stops the run",
        low=0,
    )

    @property
    def label(self) -> str:
        """What messages call the environment."""
        return f"env={self.name}"


@dataclass(frozen=True)
class ObsContractConfig:
    """The observation entries that form the flat float32 vector of the policy, in their order."""

    name: str = key(MISSING, "name of the contract")
    keys: list[str] = key([], "keys of the Dict observation, in the order of the vector; empty for a Box observation")
    frames: str = key("all", "rows of each stacked entry: all, or only the latest", choices=("all", "latest"))
    scaling: str = key(
        "none",
        "metric: distances in metres, rays filtered, symlog of all values (with algo.symlog_obs=false); for "
        "drive_state and rays",
        choices=("none", "metric"),
    )
    encoders: dict[str, str] = key(
        {},
        "encoder of each entry by key: vector (an MLP, where not named), lidar (convolutions around the circle of "
        "bearings), grid (channels first) or image (uint8, channels last); auto: by shape",
    )


@dataclass(frozen=True)
class AlgoConfig:
    """Keys of every algorithm; each adds its own (algorithms/<name>/config.py)."""

    name: str = key(MISSING, "the algorithm")


@dataclass(frozen=True)
class HardwareConfig:
    """Processes and devices; "auto" is resolved from affinity, cgroup limits, SLURM_* and CUDA_VISIBLE_DEVICES."""

    name: str = key(MISSING, "name of the profile")
    num_cpus: int | str = key(AUTO, "CPUs given to the run", low=1)
    num_env_runners: int | str = key(AUTO, "processes that step environments; 0 steps them in the main process", low=0)
    max_env_runners: int | None = key(8, "most env runners that auto takes; null: no cap", low=0)
    num_envs_per_env_runner: int = key(1, "environments stepped in turn by each process", low=1)
    rollout_fragment_length: int = key(16, "steps of each environment in an iteration", low=1)
    overlap_sampling: str = key(
        AUTO,
        "sample the next iteration and evaluate while learning, with weights one iteration old; auto: if the algorithm "
        "can, with a GPU and env runners",
        choices=(AUTO, "always", "never"),
    )
    num_learners: int = key(0, "learner processes; 0 learns in the main process", low=0)
    num_gpus_per_learner: int | str = key(AUTO, "GPUs of each learner; 0: the CPU (RLlib does not use MPS)", low=0)
    ray_address: str | None = key(None, "address of a running Ray cluster; null starts a local one")


@dataclass(frozen=True)
class TrackingConfig:
    """Trackers next to the run's own files; all keys but the name are those of Weights & Biases."""

    name: str = key(
        "wandb", "the tracker, or several at once", choices=("wandb", "tensorboard", "wandb_tensorboard", "none")
    )
    mode: str = key("offline", "W&B: offline writes into the run's wandb/ folder", choices=("offline", "online"))
    project: str = key("dreamer-exp", "W&B project")
    entity: str | None = key(None, "W&B user or team")
    group: str | None = key(None, "W&B group")
    job_type: str = key("train", "W&B job type")
    tags: list[str] = key([], "W&B tags")


@dataclass(frozen=True)
class EvaluationConfig:
    """Episodes on fixed seeds with the deterministic policy."""

    name: str = key(MISSING, "name of the option")
    protocol: str = key(
        "fixed_seeds",
        "list of episodes: fixed_seeds, robot_sf_s30_h600, robot_sf_dev (conf/protocol/), or the path of a YAML file; "
        "all but fixed_seeds have a fixed number of episodes, and set the environment's options that belong to them",
    )
    episodes: int = key(10, "episodes of an evaluation under fixed_seeds; 0: no evaluation", low=0, high=10_000)
    every_env_steps: int = key(0, "env steps between evaluations; 0: only before training and at its end", low=0)
    seed: int = key(
        1_000_000,
        "episode i of fixed_seeds resets with seed + i; training never uses 900,000 to 1,099,999",
        low=0,
        high=2**31 - 1,
    )
    max_parallel_envs: int | None = key(
        None,
        "environments at a time in an evaluation; null: no limit; 1 also closes those of training until it has ended, "
        "for environments that cannot exist twice",
        low=1,
    )
    baselines: list[str] = key(
        [],
        "policies evaluated once on the same seeds: random, and those of the environment (crowd_nav: "
        "straight_to_goal, orca, hl; robot_sf: straight_to_goal, goal, orca)",
    )


@dataclass(frozen=True)
class SweepConfig:
    """Sweeps (-m): limits of each job, and the sweep to resume."""

    name: str = key("none", "name of the option")
    resume: str | None = key(None, "directory of a sweep: finished jobs are kept, the others are resumed or restarted")
    job_timeout: float | None = key(None, "seconds that a job may take; null: no limit", above=0)
    job_memory: int | str | None = key(
        None, "memory that a job's own processes may take, in bytes or as 8 GiB; null: no limit", low=1, memory=True
    )
    jobs_per_gpu: int | str = key(
        1,
        "jobs that share a GPU, by NVIDIA MPS where its daemon can run; auto: by the memory and the multiprocessors "
        "that a job needs",
        low=1,
    )
    stop: str = key(
        "none",
        "stop jobs whose evaluations (success, then SPL, then return) are worse than those of the others at the same "
        "env steps: asha keeps the best at each rung, median those not below the median",
        choices=("none", "median", "asha"),
    )
    stop_grace: int | None = key(
        None, "env steps of the first rung, before which no job is stopped; null: evaluation.every_env_steps", low=1
    )
    stop_reduction: int = key(
        3, "asha keeps one of so many jobs at each rung; each rung has so many times the env steps of the last", low=2
    )
    stop_rungs: list[int] = key([], "env steps of the rungs, in the place of those of stop_grace and stop_reduction")


@dataclass(frozen=True)
class ExperimentConfig:
    """The complete tree as composed, before "auto" is resolved."""

    env: EnvConfig = field(default_factory=EnvConfig)
    obs_contract: ObsContractConfig = field(default_factory=ObsContractConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    run: RunConfig = field(default_factory=RunConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    dry_run: bool = key(False, "print what would happen, and stop")
    resume: str | None = key(None, "directory of a run to resume from its newest valid checkpoint")
    trust: bool = key(False, "with resume: load the pickles of another user's directory, which can run any code")
