"""What `algo=dreamerv3` and `algo=dreamerv3_rllib` share: keys, the resolving of "auto", and checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from dreamer_exp.algorithms.spec import Imagination, UpdateWork
from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO, AlgoConfig, key
from dreamer_exp.scaling import METRIC

DreamerAlgo = TypeVar("DreamerAlgo", bound="BaseDreamerV3Config")
Algo = TypeVar("Algo", bound=AlgoConfig)


@dataclass(frozen=True)
class BaseDreamerV3Config(AlgoConfig):
    """Keys of both; the names are those of RLlib's DreamerV3Config.training() where it has one."""

    model_size: str = key("XS", "size of the network")
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
    world_model_lr: int | float | str = key(AUTO, "learning rate of the world model", above=0)
    actor_lr: int | float | str = key(AUTO, "learning rate of the actor", above=0)
    critic_lr: int | float | str = key(AUTO, "learning rate of the critic", above=0)
    symlog_obs: bool = key(True, "symlog the observations (vector observations always should)")
    replay_capacity: int | str = key(
        1_000_000, "env steps in the replay buffer, or the memory for them", low=1, memory=True
    )


def values_of(config: BaseDreamerV3Config, rates: Mapping[str, float]) -> dict[str, Any]:
    """Return the config's values by name, with these learning rates in the place of "auto"."""
    values = {declared.name: getattr(config, declared.name) for declared in fields(config)}
    return values | {name: rate if values[name] == AUTO else float(values[name]) for name, rate in rates.items()}


def check_base(algo: BaseDreamerV3Config) -> None:
    """Check what both refuse: a replay smaller than a batch, and an actor without its critic.

    Raises:
        UserError: naming the key and what is allowed.
    """
    check_batch_fits(algo)
    if algo.train_actor and not algo.train_critic:
        raise UserError("algo.train_critic=False with algo.train_actor=True: an actor needs its critic; set both.")


def check_batch_fits(algo: BaseDreamerV3Config) -> None:
    """Raise UserError for a replay that holds less than one batch; a capacity in bytes is checked later."""
    batch = algo.batch_size_B * algo.batch_length_T
    if not isinstance(algo.replay_capacity, str) and algo.replay_capacity < batch:
        raise UserError(
            f"algo.replay_capacity={algo.replay_capacity} is less than one batch: it has to be at least "
            f"algo.batch_size_B x algo.batch_length_T = {batch}."
        )


def capacity_in_steps(
    experiment: Experiment, algo: Algo, amount: int | str, bytes_per_step: int, check: Callable[[Experiment], None]
) -> Algo:
    """Return the options with a `replay_capacity` in bytes replaced by the steps that it holds.

    Args:
        experiment: the resolved experiment.
        algo: its options.
        amount: its `replay_capacity`.
        bytes_per_step: bytes of a replayed step.
        check: the algorithm's check of values against each other.

    Raises:
        UserError: the bytes hold too few steps.
    """
    if not isinstance(amount, str):
        return algo
    steps = (parse_bytes(amount) or 0) // bytes_per_step
    changed: dict[str, Any] = {"replay_capacity": steps}
    algo = replace(algo, **changed)
    try:
        check(replace(experiment, algo=algo))
    except UserError as error:
        raise UserError(f"algo.replay_capacity={amount!r} holds {steps:,} steps: {error}") from error
    return algo


def smallest_replay(experiment: Experiment, algo: DreamerAlgo) -> DreamerAlgo:
    """Return the options with a replay that one update can be computed next to, without reading it."""
    return replace(algo, replay_capacity=2 * experiment.hardware.num_envs * (algo.batch_length_T + 1))


def warnings(algo: BaseDreamerV3Config, scaling: str) -> list[str]:
    """Return a warning if environment and network both squash the observations."""
    if scaling != METRIC or not algo.symlog_obs:
        return []
    line = (
        "obs_contract.scaling=metric and algo.symlog_obs=true both squash the observation: set algo.symlog_obs=false."
    )
    return [line]


def update_work(algo: BaseDreamerV3Config) -> UpdateWork:
    """Return training ratio and batch (B, T)."""
    return UpdateWork(algo.training_ratio, (algo.batch_size_B, algo.batch_length_T))


def imagination(algo: BaseDreamerV3Config) -> Imagination:
    """Return horizon and discount."""
    return Imagination(algo.horizon_H, algo.gamma)
