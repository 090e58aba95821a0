"""Memory of `algo=dreamerv3`, and the options that depend on it, without torch."""

from dataclasses import replace

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo, check, resolved
from dreamer_exp.algorithms.dreamerv3.observation_parts import all_convolutions, parts_of_contract, replayed_bytes
from dreamer_exp.algorithms.dreamerv3.sizes import ACTING, NetworkSize, parts_of
from dreamer_exp.algorithms.rllib.base_config import capacity_in_steps
from dreamer_exp.algorithms.spec import MemoryModel
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import AUTO
from dreamer_exp.envs.contract import ObservationContract

FLOAT32 = 4  # bytes
FLAGS = 3  # bytes of is_first, is_last and is_terminal in a replayed step
ACTIVATIONS = 5  # measured: floats of an update on a CPU per B * T * (H + 1) * (D + S * C + units)


def memory_model(experiment: Experiment, contract: ObservationContract) -> MemoryModel:
    """Return what the algorithm keeps in memory, once `settle` has given `replay_device` and `replay_capacity`."""
    algo = resolved(experiment)
    parts = parameters_by_part(algo.network, contract)
    replayed = algo.batch_size_B * algo.batch_length_T
    states = replayed * (algo.horizon_H + 1)
    convolved = all_convolutions(parts_of_contract(contract), algo.network.units)
    convolved_floats = 2 * replayed * sum(shape.activations for shape in convolved)  # of encoders and decoders
    return MemoryModel(
        weight_bytes=FLOAT32 * sum(parts.values()),
        acting_bytes=FLOAT32 * sum(parts[name] for name in ACTING),
        update_bytes=ACTIVATIONS * FLOAT32 * (states * (algo.network.feature + algo.network.units) + convolved_floats),
        parameters=sum(parts.values()),
        bytes_per_step=bytes_per_step(algo.network, contract),
        replay_capacity=algo.replay_capacity,
        replay_on_gpu=algo.replay_device == "cuda",
        replay_with_learner=True,
    )


def settle(experiment: Experiment, contract: ObservationContract, gpu_memory_bytes: int) -> DreamerV3Algo:
    """Return the options once the observation is known.

    A `replay_capacity` in bytes becomes steps. An "auto" `replay_device` becomes cuda if the full replay needs less
    than half of the GPU's memory, which the network and its updates need too; otherwise cpu.

    Args:
        experiment: the resolved experiment.
        contract: its observation contract.
        gpu_memory_bytes: memory of the learner's GPU; 0 if unknown.

    Raises:
        UserError: the bytes hold too few steps.
    """
    algo = resolved(experiment)
    step_bytes = bytes_per_step(algo.network, contract)
    algo = capacity_in_steps(experiment, algo, algo.replay_capacity, step_bytes, check)
    if algo.replay_device != AUTO:
        return algo
    fits = 2 * algo.replay_capacity * step_bytes < gpu_memory_bytes
    return replace(algo, replay_device="cuda" if fits else "cpu")


def bytes_per_step(network: NetworkSize, contract: ObservationContract) -> int:
    """Return the bytes of a replayed step.

    Action (one-hot if Discrete) and reward are float32, deter is float16, a categorical is a byte. The observation is
    float32, but for rays within narrow bounds, which are float16, and cells of a grid within [0, 1] and entries of
    uint8, which are bytes. Vectors without an entry of another kind are float32.
    """
    observation = replayed_bytes(contract.size, parts_of_contract(contract))
    return observation + FLOAT32 * (contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def parameters_by_part(network: NetworkSize, contract: ObservationContract) -> dict[str, int]:
    """Return the number of trained parameters of each part of the network (agent.py)."""
    observation = parts_of_contract(contract)
    return parts_of(network, contract.size, contract.action.size, contract.action.kind == "discrete", observation)
