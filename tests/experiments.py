"""Experiments for tests, composed from overrides and resolved for a given machine."""

from pathlib import Path

from dreamer_exp.config import load
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.hardware import Machine
from tests.composition import composed, composed_by_hydra

# With a second thread of torch for each pytest worker, an update of these networks takes ten times as long while the
# cores are busy: the threads wait for each other. Tests with several env runners set the CPUs for them.
ONE_THREAD = "hardware.num_cpus=1"

# an update takes about 20 ms on one core
NANO = (
    "algo.model_size=nano",
    "algo.batch_size_B=4",
    "algo.batch_length_T=8",
    "algo.horizon_H=3",
    "algo.training_ratio=4",
    "env.scenario=open",
    "env.max_steps=20",
    "evaluation.episodes=2",
    "hardware=cpu",
    ONE_THREAD,
)

# the same for the algorithms without a world model; `small` adds the sizes of each
MODEL_FREE = (
    "algo.fcnet_hiddens=[16,16]",
    "env.scenario=open",
    "env.max_steps=20",
    "evaluation.episodes=2",
    "hardware=cpu",
    ONE_THREAD,
)
SMALL = {
    "sac": (
        "algo=sac",
        "algo.train_batch_size_per_learner=16",
        "algo.training_intensity=4",
        "algo.num_steps_sampled_before_learning_starts=32",
        "algo.replay_capacity=64",  # it wraps around within a few iterations
        *MODEL_FREE,
    ),
    "ppo": (
        "algo=ppo",
        "algo.train_batch_size_per_learner=40",  # three fragments, so that checkpoints are in between
        "algo.minibatch_size=16",
        "algo.num_epochs=2",
        *MODEL_FREE,
    ),
}


def machine(cpus: int = 2, gpus: int = 0, memory_bytes: int = 16 * 2**30) -> Machine:
    """Return a machine, independent of the one that the test runs on."""
    return Machine(
        cpus=cpus,
        cpu_name="test",
        gpus=gpus,
        memory_bytes=memory_bytes,
        memory_available_bytes=memory_bytes,
        slurm_job_id=None,
        platform="test",
        sources={"cpus": "test", "gpus": "test", "memory_bytes": "test", "memory_available_bytes": "test"},
    )


def experiment(*overrides: str, on: Machine | None = None, config_dir: Path | None = None) -> Experiment:
    """Return the experiment of these overrides."""
    config = composed_by_hydra(*overrides, config_dir=config_dir) if config_dir else composed(*overrides)
    return load.load_experiment(config, on or machine())


def nano(*overrides: str, on: Machine | None = None) -> Experiment:
    """Return a small experiment with every stage of a run; later overrides take precedence."""
    return experiment(*NANO, *overrides, on=on)


def nano_gym(env_id: str, *overrides: str) -> Experiment:
    """Return a small experiment on a Gymnasium task."""
    words = [word for word in NANO if not word.startswith("env.")]
    return experiment(*words, "env=gym", f"env.id={env_id}", "env.max_steps=20", "obs_contract=vector", *overrides)


def small(algo: str, *overrides: str, on: Machine | None = None) -> Experiment:
    """Return a small experiment of an algorithm without a world model."""
    return experiment(*SMALL[algo], *overrides, on=on)


def small_gym(algo: str, env_id: str, *overrides: str) -> Experiment:
    """Return a small experiment of an algorithm without a world model on a Gymnasium task."""
    words = [word for word in SMALL[algo] if not word.startswith("env.")]
    return experiment(*words, "env=gym", f"env.id={env_id}", "env.max_steps=20", "obs_contract=vector", *overrides)
