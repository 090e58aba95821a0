"""Every key a user can turn, one dataclass a group, with its type, default and meaning.

A field's `help` is what the README's table and `--help` print; `low`/`high` are inclusive bounds and `above` an
exclusive one (checked in checks.py); `choices` are the words allowed. Fields typed `int | str` or `int | float | str`
take the word "auto", which load.py replaces by a number; one of `memory` takes an amount of it instead (memory.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from dreamer_exp.config.sizes import FAST_SIZES, RLLIB_SIZES

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
    """A dataclass field that carries its documentation and its allowed values."""
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
    checkpoint_every: int = key(50, "iterations between checkpoints; the last iteration always writes one", low=1)
    keep_checkpoints: int = key(3, "newest checkpoints kept beside the best one", low=1)
    log_level: str = key(
        "INFO",
        "least severe message shown; Ray and RLlib speak at DEBUG only",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    )
    objective: str = key("success_rate", "figure of run_summary.json's `final` that the entry point returns")


@dataclass(frozen=True)
class EnvConfig:
    """What every environment has."""

    name: str = key(MISSING, "which environment")
    max_steps: int = key(400, "steps after which an episode is truncated (a timeout)", low=1)
    max_faults: int = key(
        10,
        "observations or rewards, not finite or out of bounds, that each training environment may give: they end their "
        "episode; one more stops the run",
        low=0,
    )


@dataclass(frozen=True)
class ObsContractConfig:
    """Which observation entries become the one flat float32 vector that the policy sees, and in which order."""

    name: str = key(MISSING, "name of the contract")
    keys: list[str] = key([], "keys of the Dict observation, in the order of the vector; empty: a Box is taken whole")
    frames: str = key("all", "rows of each stacked entry: all, or the newest alone", choices=("all", "latest"))


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the fast learner's network; "auto" takes those of algo.model_size (sizes.py)."""

    deter: int | str = key(AUTO, "recurrent units, a multiple of blocks", low=1)
    hidden: int | str = key(AUTO, "units of the recurrent core's inner layers", low=1)
    stoch: int | str = key(AUTO, "categorical variables of the latent state", low=1)
    classes: int | str = key(AUTO, "classes of each categorical", low=2, high=256)
    blocks: int | str = key(AUTO, "blocks of the recurrent weights", low=1)
    units: int | str = key(AUTO, "units of encoder, decoder and heads", low=1)
    encoder_layers: int | str = key(AUTO, "layers of the encoder", low=1)
    decoder_layers: int | str = key(AUTO, "layers of the decoder, its output not counted", low=1)
    prior_layers: int | str = key(AUTO, "layers of the prior, its output not counted", low=1)
    posterior_layers: int | str = key(AUTO, "layers of the posterior, its output not counted", low=1)
    reward_layers: int | str = key(AUTO, "layers of the reward head, its output not counted", low=1)
    continue_layers: int | str = key(AUTO, "layers of the continue head, its output not counted", low=1)
    actor_layers: int | str = key(AUTO, "layers of the actor, its output not counted", low=1)
    critic_layers: int | str = key(AUTO, "layers of the critic, its output not counted", low=1)


@dataclass(frozen=True)
class AlgoConfig:
    """DreamerV3; the names are RLlib's DreamerV3Config.training's where it has one."""

    name: str = key("dreamerv3", "the algorithm", choices=("dreamerv3",))
    learner: str = key(
        "fast", "who computes the updates: DreamerV3 as published, or RLlib's stock learner", choices=("fast", "rllib")
    )
    model_size: str = key(
        "XS",
        "fast: the published sizes (1M to 200M), XS (4.3M) and nano, and S, M, L, XL for 12M, 25M, 50M, 200M; "
        "rllib: nano to XL",
        choices=tuple(dict.fromkeys((*FAST_SIZES, *RLLIB_SIZES))),
    )
    network: NetworkConfig = field(default_factory=NetworkConfig)
    kernels: str = key(
        AUTO,
        "fast: how an update is computed; graph: as one CUDA graph; fused: as a CUDA graph of our own kernels, or as "
        "graph where they don't fit; auto: fused on a GPU, else eager",
        choices=(AUTO, "eager", "graph", "fused"),
    )
    precision: str = key(
        AUTO,
        "fast: of the matrix products, tf32: float32 ones rounded to TensorFloat-32, on a GPU; "
        "auto: tf32 on a GPU, else float32",
        choices=(AUTO, "float32", "tf32", "bfloat16"),
    )
    training_ratio: float = key(64.0, "replayed steps per env step", above=0)
    batch_size_B: int = key(16, "sequences in a batch", low=1)
    batch_length_T: int = key(32, "steps in a sequence", low=2)
    horizon_H: int = key(10, "imagined steps", low=1)
    gamma: float = key(0.997, "discount", above=0, high=1)
    gae_lambda: float = key(0.95, "lambda of the lambda returns", low=0, high=1)
    entropy_scale: float = key(3e-4, "weight of the actor's entropy", low=0)
    return_normalization_decay: float = key(0.99, "decay of the return range's moving average", low=0, high=1)
    train_actor: bool = key(True, "update the actor")
    train_critic: bool = key(True, "update the critic")
    world_model_lr: int | float | str = key(AUTO, "world model's learning rate; auto: fast 4e-5, rllib 1e-4", above=0)
    actor_lr: int | float | str = key(AUTO, "learning rate of the actor; auto: fast 4e-5, rllib 3e-5", above=0)
    critic_lr: int | float | str = key(AUTO, "learning rate of the critic; auto: fast 4e-5, rllib 3e-5", above=0)
    lr_warmup: int = key(1000, "fast: updates over which the learning rates rise from 0", low=0)
    adaptive_grad_clip: float = key(0.3, "fast: a gradient's norm over its tensor's, clipped", above=0)
    loss_scales: dict[str, float] = key(
        {
            "decoder": 1.0,
            "reward": 1.0,
            "continue": 1.0,
            "dynamics": 1.0,
            "representation": 0.1,
            "actor": 1.0,
            "critic": 1.0,
            "critic_replay": 0.3,
        },
        "fast: weight of each loss; the rows of `loss/*` show the losses without it",
    )
    decoder_scales: dict[str, float] = key(
        {}, "fast: weight of each observation entry in the decoder loss, by key of the contract; 1 where not named"
    )
    intrinsic_rewards_scale: float = key(0.1, "rllib: without effect, as its curiosity is disabled", low=0)
    world_model_grad_clip_by_global_norm: float = key(1000.0, "rllib: gradient norm of the world model", above=0)
    actor_grad_clip_by_global_norm: float = key(100.0, "rllib: gradient norm of the actor", above=0)
    critic_grad_clip_by_global_norm: float = key(100.0, "rllib: gradient norm of the critic", above=0)
    symlog_obs: bool = key(True, "symlog the observations (vector observations always should)")
    replay_capacity: int | str = key(
        1_000_000, "env steps in the replay buffer, or the memory for them", low=1, memory=True
    )
    replay_device: str = key(
        AUTO,
        "fast: where the replay lies; auto: on the learner's GPU where the full replay takes less than half of its "
        "memory, else on the host",
        choices=(AUTO, "cpu", "cuda"),
    )


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
        "fast: sample the next iteration while learning, with weights one iteration old; auto: with a GPU and runners",
        choices=(AUTO, "always", "never"),
    )
    num_learners: int = key(0, "learner processes; 0 learns in the main process", low=0)
    num_gpus_per_learner: int | str = key(AUTO, "GPUs a learner; 0 learns on the CPU (RLlib has no MPS path)", low=0)
    ray_address: str | None = key(None, "address of a running Ray cluster; null starts a local one")


@dataclass(frozen=True)
class TrackingConfig:
    """Weights & Biases."""

    name: str = key("wandb", "the tracker", choices=("wandb", "none"))
    mode: str = key("offline", "offline writes into the run's wandb/ folder", choices=("offline", "online"))
    project: str = key("dreamer-exp", "W&B project")
    entity: str | None = key(None, "W&B user or team")
    group: str | None = key(None, "W&B group")
    job_type: str = key("train", "W&B job type")
    tags: list[str] = key([], "W&B tags")


@dataclass(frozen=True)
class EvaluationConfig:
    """Episodes on fixed seeds with the deterministic policy."""

    name: str = key(MISSING, "name of the option")
    episodes: int = key(10, "episodes of an evaluation; 0 evaluates never", low=0)
    every_env_steps: int = key(0, "env steps between evaluations; 0: only before training and at its end", low=0)
    seed: int = key(1_000_000, "episode i resets with seed + i; training never uses these seeds", low=0, high=2**31 - 1)
    baselines: list[str] = key(
        [],
        "policies evaluated once on the same seeds: random, the environment's (crowd_nav: straight_to_goal, orca, hl)",
    )


@dataclass(frozen=True)
class SweepConfig:
    """Many runs under -m: what ends one of them before its time, and going on with an earlier sweep."""

    name: str = key("none", "name of the option")
    resume: str | None = key(None, "a sweep's directory: finished jobs are kept, the others resumed or run again")
    job_timeout: float | None = key(None, "seconds that a job may take; null: no limit", above=0)
    job_memory: int | str | None = key(
        None, "memory that a job's own processes may take, in bytes or as 8 GiB; null: no limit", low=1, memory=True
    )


@dataclass(frozen=True)
class ExperimentConfig:
    """The whole tree as composed, "auto" still in it."""

    env: EnvConfig = field(default_factory=EnvConfig)
    obs_contract: ObsContractConfig = field(default_factory=ObsContractConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    run: RunConfig = field(default_factory=RunConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    dry_run: bool = key(False, "print what would happen, and stop")
    resume: str | None = key(None, "a run's directory, to go on there from its newest whole checkpoint")
    trust: bool = key(False, "with resume: read the pickles in another user's directory, which can run anything")
