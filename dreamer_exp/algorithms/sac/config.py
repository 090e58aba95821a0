"""`algo=sac`: its keys, and the values that cannot work together."""

from dataclasses import dataclass, fields, replace

from dreamer_exp.algorithms.rllib.mlp_sizes import ACTIVATIONS
from dreamer_exp.algorithms.rllib.model_free import ModelFreeConfig, check_model_free
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.schema import key
from dreamer_exp.envs.contract import ObservationContract


@dataclass(frozen=True)
class SACAlgoConfig(ModelFreeConfig):
    """RLlib's SAC, with the names of RLlib's configs."""

    name: str = key("sac", "the algorithm", choices=("sac",))
    fcnet_activation: str = key("relu", "activation of the hidden layers", choices=ACTIVATIONS)
    training_intensity: float = key(64.0, "replayed steps per env step", above=0)
    train_batch_size_per_learner: int = key(256, "steps in an update", low=1)
    num_steps_sampled_before_learning_starts: int = key(1500, "env steps before those that owe updates", low=0)
    actor_lr: float = key(3e-4, "learning rate of the actor", above=0)
    critic_lr: float = key(3e-4, "learning rate of the critics", above=0)
    alpha_lr: float = key(3e-4, "learning rate of the entropy's weight", above=0)
    initial_alpha: float = key(1.0, "initial weight of the entropy", above=0)
    tau: float = key(5e-3, "share of the critics in each update of their targets", above=0, high=1)
    grad_clip: float | None = key(None, "gradient norm of each network, clipped; null: not", above=0)
    replay_capacity: int | str = key(
        1_000_000, "env steps in the replay buffer, or the memory for them", low=1, memory=True
    )


@dataclass(frozen=True)
class SACAlgo(SACAlgoConfig):
    """SACAlgoConfig; a `replay_capacity` in bytes waits until the observation's size is known (memory.py)."""

    replay_capacity: int = 1_000_000


def resolve(config: SACAlgoConfig, hardware: Hardware) -> SACAlgo:
    """Return the config."""
    return SACAlgo(**{declared.name: getattr(config, declared.name) for declared in fields(config)})


def check(experiment: Experiment) -> None:
    """Check values against each other; a capacity in bytes is checked later.

    Raises:
        UserError: naming the first key that doesn't fit the others.
    """
    algo = resolved(experiment)
    check_model_free(experiment, algo)
    first = first_steps(algo)
    if not isinstance(algo.replay_capacity, str) and algo.replay_capacity < first:
        raise UserError(
            f"algo.replay_capacity={algo.replay_capacity} is less than the {first:,} steps before the first update "
            "(algo.num_steps_sampled_before_learning_starts, and one batch)."
        )


def check_contract(experiment: Experiment, contract: ObservationContract) -> None:
    """Raise UserError for Discrete actions."""
    if contract.action.kind == "discrete":
        raise UserError(
            f"algo=sac takes Box actions, and {experiment.env.label} has {contract.action.size} Discrete ones: use "
            "algo=ppo or algo=dreamerv3."
        )


def first_steps(algo: SACAlgo) -> int:
    """Return the steps that the replay needs before the first update."""
    return max(algo.num_steps_sampled_before_learning_starts, algo.train_batch_size_per_learner)


def resolved(experiment: Experiment) -> SACAlgo:
    """Return the experiment's `algo`, which is this algorithm's."""
    assert isinstance(experiment.algo, SACAlgo)
    return experiment.algo


def update_on_cpu(experiment: Experiment) -> SACAlgo:
    """Return the options that compute the same update next to the smallest replay."""
    algo = resolved(experiment)
    return replace(algo, replay_capacity=first_steps(algo))
