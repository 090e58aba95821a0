"""Experiment -> DreamerV3Config -> Algorithm, and the proof that every value arrived."""

from dataclasses import fields
from typing import Any

import torch
from ray.rllib.algorithms.dreamerv3 import DreamerV3Config
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.tune.registry import register_env

from dreamer_exp.algorithms.dreamerv3.acting.env_runner import AgentEnvRunner
from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.dreamerv3.backends.requirements import why_not_fused
from dreamer_exp.algorithms.dreamerv3.loss_scales import decoder_weights
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner
from dreamer_exp.algorithms.rllib.episodes import EpisodeCallback
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of, make_guarded_env

ENV_NAME = "dreamer_exp"
# keys that aren't RLlib's: they name an option, or are consumed before (learner) or outside (Ray) of its config
NOT_RLLIB = {"algo.name", "hardware.name", "hardware.num_cpus", "hardware.ray_address"}


class ValueLost(RuntimeError):
    """A value of the experiment did not arrive in RLlib: the run would not be what it says it is."""


def build_algorithm(experiment: Experiment) -> BaseDreamerV3:
    """Build the algorithm, and check that every value and the device arrived in it. Ray has to be initialised.

    Raises:
        UserError: a GPU was asked for, and torch cannot use one.
        ValueLost: a value or the device did not arrive.
    """
    if experiment.hardware.num_gpus_per_learner and not experiment.hardware.num_learners:
        _check_torch_sees_gpu(experiment.hardware.num_gpus_per_learner)
    config = build_config(experiment)
    check_arrival(experiment, config)
    algorithm = config.build_algo()
    assert isinstance(algorithm, BaseDreamerV3)
    check_device(experiment, learner_devices(algorithm))
    return algorithm


def build_config(experiment: Experiment) -> DreamerV3Config:
    """RLlib's config of the experiment."""
    algo, hardware = experiment.algo, experiment.hardware
    register_env(ENV_NAME, lambda _: make_guarded_env(experiment.env, experiment.obs_contract))
    fast = algo.name == "dreamerv3"
    config = PublishedDreamerV3Config(PublishedDreamerV3) if fast else DreamerV3Config(BaseDreamerV3)
    config.environment(ENV_NAME)
    config.framework("torch")
    config.training(
        model_size=algo.model_size,
        training_ratio=algo.training_ratio,
        batch_size_B=algo.batch_size_B,
        batch_length_T=algo.batch_length_T,
        horizon_H=algo.horizon_H,
        gamma=algo.gamma,
        gae_lambda=algo.gae_lambda,
        entropy_scale=algo.entropy_scale,
        return_normalization_decay=algo.return_normalization_decay,
        train_actor=algo.train_actor,
        train_critic=algo.train_critic,
        world_model_lr=algo.world_model_lr,
        actor_lr=algo.actor_lr,
        critic_lr=algo.critic_lr,
        symlog_obs=algo.symlog_obs,
        replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": algo.replay_capacity},
    )
    if fast:
        config.published(
            network=algo.network,
            backend=algo.backend,
            why_not_fused=why_not_fused(algo),
            precision=algo.precision,
            lr_warmup=algo.lr_warmup,
            adaptive_grad_clip=algo.adaptive_grad_clip,
            loss_scales=algo.loss_scales,
            decoder_scales=algo.decoder_scales,
            decoder_weights=_decoder_weights(experiment),
            replay_device=algo.replay_device,
            overlap_sampling=hardware.overlap_sampling,
            learner_threads=hardware.learner_threads,
        )
    else:
        config.training(
            intrinsic_rewards_scale=algo.intrinsic_rewards_scale,
            world_model_grad_clip_by_global_norm=algo.world_model_grad_clip_by_global_norm,
            actor_grad_clip_by_global_norm=algo.actor_grad_clip_by_global_norm,
            critic_grad_clip_by_global_norm=algo.critic_grad_clip_by_global_norm,
        )
    config.env_runners(
        env_runner_cls=AgentEnvRunner if fast else SeededEnvRunner,
        num_env_runners=hardware.num_env_runners,
        num_envs_per_env_runner=hardware.num_envs_per_env_runner,
        rollout_fragment_length=hardware.rollout_fragment_length,
    )
    config.learners(num_learners=hardware.num_learners, num_gpus_per_learner=hardware.num_gpus_per_learner)
    # an env runner that fails ends the run with its error; RLlib's default restarts it silently and indefinitely
    config.fault_tolerance(restart_failed_env_runners=False)
    if not fast:  # whose chunks are slim, and tell their results, as they are
        config.callbacks(EpisodeCallback)
    config.debugging(seed=experiment.run.seed, log_level=rllib_log_level(experiment))
    return config


def _decoder_weights(experiment: Experiment) -> tuple[float, ...] | None:
    """Return the weights of the observation's elements; making the contract can start an environment."""
    scales = experiment.algo.decoder_scales
    return decoder_weights(scales, contract_of(experiment.env, experiment.obs_contract)) if scales else None


def check_arrival(experiment: Experiment, config: DreamerV3Config) -> None:
    """Compare every value of `algo` and `hardware` with RLlib's config.

    Raises:
        ValueLost: naming the key, the value asked for and the one that RLlib has.
    """
    held: dict[str, Any] = {"algo.replay_capacity": config.replay_buffer_config.get("capacity")}
    for group in ("algo", "hardware"):
        asked = getattr(experiment, group)
        for name in (field.name for field in fields(asked)):
            key = f"{group}.{name}"
            if key in NOT_RLLIB or (key == "hardware.overlap_sampling" and experiment.algo.name != "dreamerv3"):
                continue
            arrived = held.get(key, getattr(config, name, "nothing"))
            if arrived != getattr(asked, name):
                raise ValueLost(f"{key}={getattr(asked, name)!r} did not arrive in RLlib's config: it has {arrived!r}.")


def learner_devices(algorithm: BaseDreamerV3) -> list[str]:
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
        ValueLost: a learner is not where it should be.
    """
    wanted = "cuda" if experiment.hardware.num_gpus_per_learner else "cpu"
    if any(not device.startswith(wanted) for device in devices):
        raise ValueLost(
            f"hardware.num_gpus_per_learner={experiment.hardware.num_gpus_per_learner} asks for {wanted}, but the "
            f"learner's parameters are on {', '.join(devices)}."
        )


def _check_torch_sees_gpu(asked: int) -> None:
    if not torch.cuda.is_available():
        raise UserError(
            f"hardware.num_gpus_per_learner={asked}, but this torch ({torch.__version__}) cannot use a GPU; install "
            "a CUDA build of torch, or use hardware=cpu."
        )


def rllib_log_level(experiment: Experiment) -> str:
    """Return RLlib's log level: silent unless at DEBUG, because this package reports what ends a run."""
    return "DEBUG" if experiment.run.log_level == "DEBUG" else "CRITICAL"
