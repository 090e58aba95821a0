"""Building an Algorithm from an Experiment by RLlib's config, and checking that every value arrived."""

from dataclasses import fields
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.tune.registry import register_env

from dreamer_exp.algorithms.protocol import Algorithm
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.boundary import hinting
from dreamer_exp.envs.fault_guard import FaultGuard
from dreamer_exp.envs.make import make_guarded_env
from dreamer_exp.envs.scenario_sampling import ScenarioSampling, drawn_scenarios, follows_failures

ENV_NAME = "dreamer_exp"
# keys that RLlib's config does not have: names of options, and settings of Ray
NOT_RLLIB = {"algo.name", "hardware.name", "hardware.num_cpus", "hardware.ray_address"}


class ValueLost(RuntimeError):
    """A value of the experiment did not arrive in RLlib, so that the run would differ from its experiment.yaml."""


def build_algorithm(experiment: Experiment) -> Algorithm:
    """Build the algorithm, and check that every value and the device arrived in it. Ray has to be initialised.

    Raises:
        UserError: A GPU is requested, and torch cannot use one.
        ValueLost: A value or the device did not arrive.
    """
    if experiment.hardware.num_gpus_per_learner and not experiment.hardware.num_learners:
        _check_torch_sees_gpu(experiment.hardware.num_gpus_per_learner)
    config = build_config(experiment)
    check_arrival(experiment, config)
    algorithm: Algorithm = config.build_algo()
    check_device(experiment, learner_devices(algorithm))
    return algorithm


def build_config(experiment: Experiment) -> AlgorithmConfig:
    """Return RLlib's config of the experiment."""
    hardware = experiment.hardware
    config = spec_of(experiment.algo).load().configure(experiment)
    register_env(ENV_NAME, lambda _: _make_env(experiment))
    config.environment(ENV_NAME)
    config.framework("torch")
    config.env_runners(
        num_env_runners=hardware.num_env_runners,
        num_envs_per_env_runner=hardware.num_envs_per_env_runner,
        rollout_fragment_length=hardware.rollout_fragment_length,
        sample_timeout_s=None,  # after RLlib's 60 s, the steps of a slow or busy env runner would be lost
    )
    config.learners(num_learners=hardware.num_learners, num_gpus_per_learner=hardware.num_gpus_per_learner)
    # an env runner that fails ends the run with its error; RLlib's default restarts it silently and indefinitely
    config.fault_tolerance(restart_failed_env_runners=False)
    config.debugging(seed=experiment.run.seed, log_level=rllib_log_level(experiment))
    return config


def _make_env(experiment: Experiment) -> FaultGuard | ScenarioSampling:
    hardware = experiment.hardware
    several = hardware.num_env_runners > 1 or hardware.num_envs_per_env_runner > 1
    with hinting("hardware.num_env_runners=0 and hardware.num_envs_per_env_runner=1" if several else None):
        made = make_guarded_env(experiment.env, experiment.obs_contract)
        return ScenarioSampling(made, drawn_scenarios(experiment.env)) if follows_failures(experiment.env) else made


def check_arrival(experiment: Experiment, config: AlgorithmConfig) -> None:
    """Compare every value of `algo` and `hardware` with RLlib's config.

    Raises:
        ValueLost: Names the key, the requested value and the one that RLlib has.
    """
    nested: dict[str, Any] = {}
    if replay := getattr(config, "replay_buffer_config", None):
        nested["algo.replay_capacity"] = replay.get("capacity")
    nested |= {f"algo.{name}": value for name, value in config.model_config.items() if not hasattr(config, name)}
    overlaps_sampling = spec_of(experiment.algo).overlaps_sampling
    for group in ("algo", "hardware"):
        requested = getattr(experiment, group)
        for name in (field.name for field in fields(requested)):
            key = f"{group}.{name}"
            if key in NOT_RLLIB or (key == "hardware.overlap_sampling" and not overlaps_sampling):
                continue
            value, arrived = getattr(requested, name), nested.get(key, getattr(config, name, "nothing"))
            if arrived != value:
                raise ValueLost(f"{key}={value!r} did not arrive in RLlib's config: it has {arrived!r}.")


def learner_devices(algorithm: Algorithm) -> list[str]:
    """Return the device of each learner's parameters."""
    found = algorithm.learner_group.foreach_learner(
        lambda learner: str(next(learner.module[DEFAULT_MODULE_ID].parameters()).device)
    )
    return [result.get() for result in found]


def gpu_names() -> list[str]:
    """Return the names of the GPUs that torch can use."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def check_device(experiment: Experiment, devices: list[str]) -> None:
    """Check that the learners' parameters are on the requested kind of device.

    Raises:
        ValueLost: A learner is on another kind of device.
    """
    wanted = "cuda" if experiment.hardware.num_gpus_per_learner else "cpu"
    if any(not device.startswith(wanted) for device in devices):
        raise ValueLost(
            f"hardware.num_gpus_per_learner={experiment.hardware.num_gpus_per_learner} asks for {wanted}, but the "
            f"learner's parameters are on {', '.join(devices)}."
        )


def _check_torch_sees_gpu(requested: int) -> None:
    if not torch.cuda.is_available():
        raise UserError(
            f"hardware.num_gpus_per_learner={requested}, but this torch ({torch.__version__}) cannot use a GPU; "
            "install a CUDA build of torch, or use hardware=cpu."
        )


def rllib_log_level(experiment: Experiment) -> str:
    """Return RLlib's log level: silent unless at DEBUG, because this package reports what ends a run."""
    return "DEBUG" if experiment.run.log_level == "DEBUG" else "CRITICAL"
