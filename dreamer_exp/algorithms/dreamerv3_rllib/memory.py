"""Memory of `algo=dreamerv3_rllib`, and the option that depends on it, without torch."""

from dreamer_exp.algorithms.dreamerv3_rllib.config import DreamerV3RLlibAlgo, check, resolved
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import WEIGHTS
from dreamer_exp.algorithms.rllib.base_config import capacity_in_steps
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract

FLOAT32 = 4  # bytes
# Python objects of one step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info, reward), measured with
# tracemalloc; tests/algorithms/dreamerv3_rllib/test_replay.py allows 5 %
OVERHEAD_BYTES = 420


def memory_model(experiment: Experiment, contract: ObservationContract) -> MemoryModel:
    """Return what the algorithm keeps in memory; the activations of RLlib's update are unknown."""
    algo = resolved(experiment)
    fixed, per_float = WEIGHTS[algo.model_size]
    weight_bytes = FLOAT32 * (int(fixed) + per_float * contract.size)
    return MemoryModel(
        weight_bytes=weight_bytes,
        acting_bytes=weight_bytes,
        bytes_per_step=bytes_per_step(contract),
        replay_capacity=algo.replay_capacity,
    )


def settle(experiment: Experiment, contract: ObservationContract, gpu_memory_bytes: int) -> DreamerV3RLlibAlgo:
    """Return the options with a `replay_capacity` in steps.

    Raises:
        UserError: a capacity in bytes holds too few steps.
    """
    algo = resolved(experiment)
    return capacity_in_steps(experiment, algo, algo.replay_capacity, bytes_per_step(contract), check)


def bytes_per_step(contract: ObservationContract) -> int:
    """Return the bytes of a replayed step: observation and action in float32, and Python's objects."""
    action = contract.action.size if contract.action.kind == "box" else 1
    return FLOAT32 * (contract.size + action) + OVERHEAD_BYTES
