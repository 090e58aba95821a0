"""What `algo=ppo` and `algo=sac` share: keys of the network, and checks."""

from dataclasses import dataclass

from dreamer_exp.algorithms.rllib.mlp_sizes import ACTIVATIONS
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AlgoConfig, key
from dreamer_exp.envs.encoders import refuse_encoders

FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class ModelFreeConfig(AlgoConfig):
    """Keys of both; the names are those of RLlib's DefaultModelConfig."""

    gamma: float = key(0.99, "discount", above=0, high=1)
    fcnet_hiddens: list[int] = key([256, 256], "units of each hidden layer")
    fcnet_activation: str = key("tanh", "activation of the hidden layers", choices=ACTIVATIONS)


def check_model_free(experiment: Experiment, algo: ModelFreeConfig) -> None:
    """Check what both refuse: an encoder, a network without layers, several learners, and sampling during updates.

    Raises:
        UserError: naming the key and what is allowed.
    """
    hardware = experiment.hardware
    refuse_encoders(experiment.obs_contract.encoders, algo.name)
    if not algo.fcnet_hiddens or min(algo.fcnet_hiddens) < 1:
        raise UserError(
            f"algo.fcnet_hiddens={algo.fcnet_hiddens}: it takes at least one layer, of at least one unit: [256, 256]."
        )
    if hardware.overlap_sampling:
        raise UserError(
            f"hardware.overlap_sampling=always: algo={algo.name} samples and learns in turn; use auto or never."
        )
    if hardware.num_learners > 1:
        raise UserError(
            f"hardware.num_learners={hardware.num_learners}: algo={algo.name} learns in one process; use 0 (the main "
            "process) or 1."
        )


def size_text(algo: ModelFreeConfig) -> str:
    """Return the hidden layers as text: "256x256"."""
    return "x".join(map(str, algo.fcnet_hiddens))
