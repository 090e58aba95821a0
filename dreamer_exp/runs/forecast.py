"""Memory to come: bytes a replayed step takes, and what the replay will hold at its fullest."""

from dataclasses import dataclass

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract

FLOAT32 = 4
# Python objects around a step in RLlib's EpisodeReplayBuffer (array headers, index tuple, info slot, reward):
# measured as the growth of the resident set over 50,000 steps less the arrays' own bytes (tests/runs/test_forecast.py)
OVERHEAD_BYTES = 420


@dataclass(frozen=True)
class Forecast:
    """The replay at its fullest in this run."""

    bytes_per_step: int
    replay_steps: int
    replay_bytes: int


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Bytes a step, and the steps and bytes in the replay when it is full or the run is over."""
    action = contract.action.size if contract.action.kind == "box" else 1
    bytes_per_step = FLOAT32 * (contract.size + action) + OVERHEAD_BYTES
    run_steps = experiment.run.train_iterations * experiment.hardware.env_steps_per_iteration
    first_batch = experiment.algo.batch_size_B * experiment.algo.batch_length_T
    steps = min(experiment.algo.replay_capacity, max(run_steps, first_batch))
    return Forecast(bytes_per_step, steps, steps * bytes_per_step)


def gibibytes(count: int) -> str:
    """A number of bytes as text."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"
