"""Memory of `algo=sac`, and the option that depends on it, without torch."""

import math
from dataclasses import asdict

from dreamer_exp.algorithms.rllib.base_config import capacity_in_steps
from dreamer_exp.algorithms.rllib.model_free import FLOAT32
from dreamer_exp.algorithms.sac.config import SACAlgo, check, resolved
from dreamer_exp.algorithms.sac.sizes import weights
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract

FLAGS = 2  # bytes of is_last and is_terminal in a replayed step


def memory_model(experiment: Experiment, contract: ObservationContract) -> MemoryModel:
    """Return what the algorithm keeps in memory."""
    algo = resolved(experiment)
    actor, critic = weights(asdict(algo), contract.size, contract.action.size)
    return MemoryModel(
        weight_bytes=FLOAT32 * (actor + 4 * critic),
        acting_bytes=FLOAT32 * actor,
        update_bytes=6 * FLOAT32 * algo.train_batch_size_per_learner * (contract.size + 8 * max(algo.fcnet_hiddens)),
        parameters=actor + 2 * critic,
        bytes_per_step=bytes_per_step(experiment, contract),
        replay_capacity=algo.replay_capacity,
        replay_with_learner=True,
    )


def settle(experiment: Experiment, contract: ObservationContract, gpu_memory_bytes: int) -> SACAlgo:
    """Return the options with a `replay_capacity` in steps.

    Raises:
        UserError: a capacity in bytes holds too few steps.
    """
    algo, step_bytes = resolved(experiment), bytes_per_step(experiment, contract)
    return capacity_in_steps(experiment, algo, algo.replay_capacity, step_bytes, check)


def bytes_per_step(experiment: Experiment, contract: ObservationContract) -> int:
    """Return the bytes of a replayed step: observation, action and reward in float32, and flags.

    The last observation of each fragment takes a row of its own.
    """
    row = FLOAT32 * (contract.size + contract.action.size + 1) + FLAGS
    return math.ceil(row * (1 + 1 / experiment.hardware.rollout_fragment_length))
