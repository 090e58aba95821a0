"""`algo=ppo`: its keys, and the values that cannot work together."""

from dataclasses import dataclass, fields

from dreamer_exp.algorithms.rllib.model_free import ModelFreeConfig, check_model_free
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.schema import key


@dataclass(frozen=True)
class PPOAlgoConfig(ModelFreeConfig):
    """RLlib's PPO, with the names of RLlib's configs."""

    name: str = key("ppo", "the algorithm", choices=("ppo",))
    lr: float = key(3e-4, "learning rate", above=0)
    lambda_: float = key(0.95, "lambda of generalized advantage estimation", low=0, high=1)
    train_batch_size_per_learner: int = key(
        2048, "env steps that are collected, over iterations, before the updates", low=1
    )
    minibatch_size: int = key(128, "steps in an update", low=1)
    num_epochs: int = key(10, "updates with each collected step", low=1)
    clip_param: float = key(0.2, "clip of the probability ratio", above=0)
    vf_clip_param: float = key(
        10_000.0, "clip of the squared value error, beyond which a step teaches the critic nothing", above=0
    )
    vf_loss_coeff: float = key(0.5, "weight of the value loss", low=0)
    entropy_coeff: float = key(0.0, "weight of the policy's entropy", low=0)
    use_kl_loss: bool = key(True, "also penalise the divergence from the policy that sampled")
    kl_coeff: float = key(0.2, "initial weight of that penalty", low=0)
    kl_target: float = key(0.01, "divergence that the weight of the penalty is adapted to", above=0)
    grad_clip: float = key(0.5, "gradient norm of all weights, clipped", above=0)
    free_log_std: bool = key(True, "the standard deviation of Box actions does not depend on the observation")


@dataclass(frozen=True)
class PPOAlgo(PPOAlgoConfig):
    """PPOAlgoConfig; it has no "auto"."""


def resolve(config: PPOAlgoConfig, hardware: Hardware) -> PPOAlgo:
    """Return the config."""
    return PPOAlgo(**{declared.name: getattr(config, declared.name) for declared in fields(config)})


def check(experiment: Experiment) -> None:
    """Check values against each other.

    Raises:
        UserError: naming the first key that doesn't fit the others.
    """
    algo = resolved(experiment)
    check_model_free(experiment, algo)
    if algo.minibatch_size > algo.train_batch_size_per_learner:
        raise UserError(
            f"algo.minibatch_size={algo.minibatch_size} is more than algo.train_batch_size_per_learner="
            f"{algo.train_batch_size_per_learner}, from which the minibatches are drawn."
        )


def resolved(experiment: Experiment) -> PPOAlgo:
    """Return the experiment's `algo`, which is this algorithm's."""
    assert isinstance(experiment.algo, PPOAlgo)
    return experiment.algo
