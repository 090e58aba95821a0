"""Memory of `algo=ppo`, without torch."""

from dataclasses import asdict

from dreamer_exp.algorithms.ppo.config import resolved
from dreamer_exp.algorithms.ppo.sizes import weights
from dreamer_exp.algorithms.rllib.model_free import FLOAT32
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract

COPIES = 3  # of the collected steps during an update: chunks, batch, shuffled batch


def memory_model(experiment: Experiment, contract: ObservationContract) -> MemoryModel:
    """Return what the algorithm keeps in memory: the network, and the collected steps."""
    algo = resolved(experiment)
    actor, critic = weights(asdict(algo), contract.size, asdict(contract.action))
    steps = algo.train_batch_size_per_learner + experiment.hardware.env_steps_per_iteration
    return MemoryModel(
        weight_bytes=FLOAT32 * (actor + critic),
        acting_bytes=FLOAT32 * actor,
        update_bytes=COPIES * FLOAT32 * steps * (contract.size + 4 * contract.action.size),
        parameters=actor + critic,
    )
