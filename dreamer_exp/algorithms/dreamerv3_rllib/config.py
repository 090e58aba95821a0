"""`algo=dreamerv3_rllib`: its keys, what "auto" becomes, and the values that cannot work together."""

from dataclasses import dataclass

from dreamer_exp.algorithms.dreamerv3_rllib.sizes import SIZES
from dreamer_exp.algorithms.rllib.base_config import (
    BaseDreamerV3Config,
    check_base,
    smallest_replay,
    values_of,
)
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.schema import AUTO, key
from dreamer_exp.envs.encoders import refuse_encoders

RATES = {"world_model_lr": 1e-4, "actor_lr": 3e-5, "critic_lr": 3e-5}  # RLlib's own for XS


@dataclass(frozen=True)
class DreamerV3RLlibAlgoConfig(BaseDreamerV3Config):
    """RLlib's stock DreamerV3 learner."""

    name: str = key("dreamerv3_rllib", "the algorithm", choices=("dreamerv3_rllib",))
    model_size: str = key("XS", "RLlib's sizes, nano to XL", choices=SIZES)
    world_model_lr: int | float | str = key(AUTO, "learning rate of the world model; auto: 1e-4", above=0)
    actor_lr: int | float | str = key(AUTO, "learning rate of the actor; auto: 3e-5", above=0)
    critic_lr: int | float | str = key(AUTO, "learning rate of the critic; auto: 3e-5", above=0)
    intrinsic_rewards_scale: float = key(0.1, "without effect, as RLlib's curiosity is disabled", low=0)
    world_model_grad_clip_by_global_norm: float = key(1000.0, "gradient norm of the world model, clipped", above=0)
    actor_grad_clip_by_global_norm: float = key(100.0, "gradient norm of the actor, clipped", above=0)
    critic_grad_clip_by_global_norm: float = key(100.0, "gradient norm of the critic, clipped", above=0)


@dataclass(frozen=True)
class DreamerV3RLlibAlgo(DreamerV3RLlibAlgoConfig):
    """DreamerV3RLlibAlgoConfig with every "auto" replaced.

    A `replay_capacity` in bytes waits until the observation's size is known (memory.py).
    """

    world_model_lr: float = RATES["world_model_lr"]
    actor_lr: float = RATES["actor_lr"]
    critic_lr: float = RATES["critic_lr"]
    replay_capacity: int = 1_000_000


def resolve(config: DreamerV3RLlibAlgoConfig, hardware: Hardware) -> DreamerV3RLlibAlgo:
    """Return the config with RLlib's learning rates."""
    return DreamerV3RLlibAlgo(**values_of(config, RATES))


def check(experiment: Experiment) -> None:
    """Check values against each other.

    Raises:
        UserError: naming the first key that doesn't fit the others.
    """
    algo, hardware = resolved(experiment), experiment.hardware
    check_base(algo)
    refuse_encoders(experiment.obs_contract.encoders, algo.name)
    if hardware.overlap_sampling:
        raise UserError("hardware.overlap_sampling=always: algo=dreamerv3_rllib samples and learns in turn; use never.")
    if hardware.num_learners > 1 and algo.batch_size_B % hardware.num_learners:
        raise UserError(
            f"hardware.num_learners={hardware.num_learners} has to divide algo.batch_size_B={algo.batch_size_B}."
        )


def resolved(experiment: Experiment) -> DreamerV3RLlibAlgo:
    """Return the experiment's `algo`, which is this algorithm's."""
    assert isinstance(experiment.algo, DreamerV3RLlibAlgo)
    return experiment.algo


def update_on_cpu(experiment: Experiment) -> DreamerV3RLlibAlgo:
    """Return the options that compute the same update next to the smallest replay."""
    return smallest_replay(experiment, resolved(experiment))
