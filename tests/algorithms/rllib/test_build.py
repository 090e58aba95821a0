"""Building RLlib's algorithm from an experiment: every value and the device arrive."""

import pytest
import torch

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import (
    ValueLost,
    build_algorithm,
    build_config,
    check_arrival,
    check_device,
    learner_devices,
)
from dreamer_exp.config.errors import UserError
from tests.experiments import machine, nano

pytestmark = pytest.mark.usefixtures("ray_local")

ODD_VALUES = (
    "algo.training_ratio=7",
    "algo.gamma=0.9",
    "algo.gae_lambda=0.8",
    "algo.entropy_scale=1e-2",
    "algo.return_normalization_decay=0.5",
    "algo.train_actor=false",
    "algo.train_critic=false",
    "algo.world_model_lr=1e-2",
    "algo.actor_lr=2e-2",
    "algo.critic_lr=3e-2",
    "algo.symlog_obs=false",
    "algo.replay_capacity=1234",
    "hardware.rollout_fragment_length=5",
    "hardware.num_envs_per_env_runner=3",
)
OF_DREAMERV3 = (
    "algo=dreamerv3",
    "algo.network.units=48",
    "algo.precision=bfloat16",
    "algo.lr_warmup=5",
    "algo.lr_decay_start=6",
    "algo.lr_decay_end=7",
    "algo.adaptive_grad_clip=0.2",
    "algo.loss_scales.actor=0.5",
    "+algo.decoder_scales.rays=2",
    "hardware.overlap_sampling=always",
)
OF_RLLIB = (
    "algo=dreamerv3_rllib",
    "algo.intrinsic_rewards_scale=0.7",
    "algo.world_model_grad_clip_by_global_norm=1",
    "algo.actor_grad_clip_by_global_norm=2",
    "algo.critic_grad_clip_by_global_norm=3",
)


@pytest.mark.parametrize("own", [OF_DREAMERV3, OF_RLLIB], ids=["dreamerv3", "dreamerv3_rllib"])
def test_every_value_arrives_in_rllibs_config(own: tuple[str, ...]) -> None:
    odd = nano(*ODD_VALUES, *own)
    check_arrival(odd, build_config(odd))


def test_a_fragment_takes_as_long_as_it_needs() -> None:
    assert build_config(nano()).sample_timeout_s is None


@pytest.mark.parametrize("name", ["horizon_H", "training_ratio", "num_envs_per_env_runner", "num_gpus_per_learner"])
def test_value_that_did_not_arrive_is_an_error_with_its_name(name: str) -> None:
    config = build_config(nano())
    setattr(config, name, 99)
    with pytest.raises(ValueLost, match=rf"\.{name}=.*did not arrive.*99"):
        check_arrival(nano(), config)


def test_replay_capacity_that_did_not_arrive_is_an_error() -> None:
    config = build_config(nano())
    config.replay_buffer_config["capacity"] = 5
    with pytest.raises(ValueLost, match=r"algo\.replay_capacity"):
        check_arrival(nano(), config)


def test_learner_is_on_the_cpu_if_no_gpu_is_requested() -> None:
    algorithm = build_algorithm(nano())
    assert isinstance(algorithm, BaseDreamerV3)
    assert learner_devices(algorithm) == ["cpu"]
    algorithm.stop()


def test_learner_on_the_wrong_device_is_an_error() -> None:
    asked = nano("hardware.num_gpus_per_learner=1", on=machine(gpus=1))
    with pytest.raises(ValueLost, match="asks for cuda, but the learner's parameters are on cpu"):
        check_device(asked, ["cpu"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this torch can use a GPU")
def test_gpu_that_torch_cannot_use_is_refused() -> None:
    with pytest.raises(UserError, match=r"num_gpus_per_learner=1.*cannot use a GPU"):
        build_algorithm(nano("hardware.num_gpus_per_learner=1", on=machine(gpus=1)))


def test_replay_has_the_requested_capacity() -> None:
    algorithm = build_algorithm(nano("algo=dreamerv3_rllib", "algo.replay_capacity=321"))
    assert algorithm.replay_buffer.capacity == 321
    algorithm.stop()
