"""Memory to come: bytes a replayed step takes, and what the replay will hold at its fullest."""

from dataclasses import dataclass

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.hardware import Machine

FLOAT32 = 4
# Python objects around a step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info slot, reward):
# what tracemalloc counts, held to 5 % by tests/dreamer/test_replay.py
OVERHEAD_BYTES = 420
FLAGS = 3  # is_first, is_last and is_terminal, in the fast learner's replay


@dataclass(frozen=True)
class Forecast:
    """The replay at its fullest in this run."""

    bytes_per_step: int
    replay_steps: int
    replay_bytes: int


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Bytes a step, and the steps and bytes in the replay when it is full or the run is over."""
    bytes_per_step = _bytes_of_fast(experiment, contract) if experiment.algo.network else _bytes_of_rllib(contract)
    run_steps = experiment.run.train_iterations * experiment.hardware.env_steps_per_iteration
    first_batch = experiment.algo.batch_size_B * experiment.algo.batch_length_T
    steps = min(experiment.algo.replay_capacity, max(run_steps, first_batch))
    return Forecast(bytes_per_step, steps, steps * bytes_per_step)


def _bytes_of_rllib(contract: ObservationContract) -> int:
    action = contract.action.size if contract.action.kind == "box" else 1
    return FLOAT32 * (contract.size + action) + OVERHEAD_BYTES


def _bytes_of_fast(experiment: Experiment, contract: ObservationContract) -> int:
    """Observation, action (one-hot where Discrete) and reward in float32, deter in float16, a byte a categorical."""
    network = experiment.algo.network
    assert network is not None
    return FLOAT32 * (contract.size + contract.action.size + 1) + 2 * network.deter + network.stoch + FLAGS


def check_memory(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Refuses a run whose replay, at its fullest in this run, is more than the memory that is free.

    Raises:
        UserError: says what a step takes, what the replay would, and how many steps fit.
    """
    expected, free = forecast(experiment, contract), machine.memory_available_bytes
    if expected.replay_bytes > free:
        raise UserError(
            f"algo.replay_capacity={experiment.algo.replay_capacity}: {contract.size:,} floats a step make "
            f"{expected.replay_bytes // 10**9} GB ({gibibytes(expected.replay_bytes)}) at the "
            f"{expected.replay_steps:,} steps that this run can hold, and this machine has {gibibytes(free)} free; at "
            f"most {free // expected.bytes_per_step:,} steps fit."
        )


def gibibytes(count: int) -> str:
    """A number of bytes as text."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"
