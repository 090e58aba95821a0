"""Forecast of a run without importing torch: memory, checkpoints, updates, and the options that depend on them."""

from dataclasses import dataclass, replace

from dreamer_exp.algorithms.spec import MemoryModel, spec_of
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.work import planned_iterations

# Measured on Linux with Ray 2.60, torch 2.13 and crowd_nav; another environment may need more.
MAIN_BYTES = 500 * 2**20  # main process without network and replay
RAY_BYTES = 300 * 2**20  # processes of a local Ray instance
RUNNER_BYTES = 350 * 2**20  # unshared memory of an env runner without its network
CUDA_BYTES = 2**30  # on the GPU: context, libraries and CUDA graph
MOMENTS = 3  # in a checkpoint: weights and two moments of the optimizer
WEIGHT_COPIES = 4  # in memory: weights, gradients and two moments of the optimizer


@dataclass(frozen=True)
class Forecast:
    """Largest sizes of a run.

    A replay on a GPU is allocated at its capacity; one on the host grows with the run.
    """

    memory: MemoryModel  # of the algorithm
    replay_steps: int
    replay_bytes: int
    process_bytes: int  # host memory of all processes of the run, without the replay
    checkpoint_bytes: int  # of one checkpoint, replay included
    checkpoints: int  # on the disk at the same time


def settle(experiment: Experiment, contract: ObservationContract, machine: Machine) -> Experiment:
    """Return the experiment with the options that depend on the observation and the GPU's memory.

    Raises:
        UserError: A replay in bytes holds too few steps.
    """
    gpu_memory_bytes = 0 if _is_learner_remote(experiment.hardware) else machine.gpu_memory_bytes
    return replace(experiment, algo=spec_of(experiment.algo).settle(experiment, contract, gpu_memory_bytes))


def forecast(experiment: Experiment, contract: ObservationContract) -> Forecast:
    """Return the largest sizes of the run."""
    spec = spec_of(experiment.algo)
    memory = spec.memory(experiment, contract)
    run_steps = planned_iterations(experiment) * experiment.hardware.env_steps_per_iteration
    first_batch = spec.work(experiment.algo).steps
    steps = min(memory.replay_capacity, max(run_steps, first_batch))
    checkpoint = steps * memory.bytes_per_step + MOMENTS * memory.weight_bytes + memory.acting_bytes
    if memory.replay_on_gpu:
        steps = memory.replay_capacity
    return Forecast(
        memory,
        steps,
        steps * memory.bytes_per_step,
        _process_bytes(experiment.hardware, memory),
        checkpoint,
        # and the best one, the one being written, and the one that is evaluated in the background
        experiment.run.keep_checkpoints + (3 if experiment.hardware.overlap_sampling else 2),
    )


def gpu_bytes(expected: Forecast) -> int:
    """Return the memory of the learner's GPU that the run needs, bytes."""
    memory = expected.memory
    replay = expected.replay_bytes if memory.replay_on_gpu else 0
    return CUDA_BYTES + WEIGHT_COPIES * memory.weight_bytes + memory.update_bytes + replay


def host_bytes(expected: Forecast) -> int:
    """Return the largest host memory of the run, bytes."""
    return expected.process_bytes + (0 if expected.memory.replay_on_gpu else expected.replay_bytes)


def _process_bytes(hardware: Hardware, memory: MemoryModel) -> int:
    """Return the memory of the main process and, with a local Ray, of Ray, the env runners and the learners."""
    acting = memory.acting_bytes
    total = MAIN_BYTES + acting
    is_local = hardware.ray_address is None
    if is_local:
        total += RAY_BYTES + hardware.num_env_runners * (RUNNER_BYTES + acting) + hardware.num_learners * MAIN_BYTES
    if not hardware.num_gpus_per_learner and (is_local or not hardware.num_learners):
        total += max(1, hardware.num_learners) * (WEIGHT_COPIES * memory.weight_bytes + memory.update_bytes)
    return total


def replay_room(experiment: Experiment, expected: Forecast, machine: Machine) -> int | None:
    """Return the total memory of the GPU or the free memory of the host, where the replay is; None if unknown."""
    if _is_replay_remote(experiment, expected):
        return None
    return (machine.gpu_memory_bytes or None) if expected.memory.replay_on_gpu else machine.memory_available_bytes


def _is_replay_remote(experiment: Experiment, expected: Forecast) -> bool:
    """Return whether the replay is with a learner on another machine of a cluster."""
    return expected.memory.replay_with_learner and _is_learner_remote(experiment.hardware)


def _is_learner_remote(hardware: Hardware) -> bool:
    return hardware.num_learners > 0 and hardware.ray_address is not None


def check_memory(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Refuse a run whose processes or replay need more memory than there is.

    Raises:
        UserError: The message has the sizes, and how many steps fit.
    """
    expected = forecast(experiment, contract)
    room, on_gpu = replay_room(experiment, expected, machine), expected.memory.replay_on_gpu
    if not _is_replay_remote(experiment, expected):
        _check_processes(experiment, expected, machine)
    if room is not None and not on_gpu:
        room -= expected.process_bytes
    if room is None or expected.replay_bytes <= room:
        return
    steps = "steps that a GPU allocates at once" if on_gpu else "steps of this run"
    available = f"the GPU has {gibibytes(room)}" if on_gpu else f"{gibibytes(room)} are left ({_free_memory(machine)})"
    alternative = ", or use algo.replay_device=cpu" if on_gpu else ""
    raise UserError(
        f"algo.replay_capacity={expected.memory.replay_capacity}: with {contract.size:,} floats a step, the replay "
        f"needs {expected.replay_bytes // 10**9} GB ({gibibytes(expected.replay_bytes)}) for the "
        f"{expected.replay_steps:,} {steps}, and {available}; at most {room // expected.memory.bytes_per_step:,} steps "
        f"fit{alternative}."
    )


def _check_processes(experiment: Experiment, expected: Forecast, machine: Machine) -> None:
    if expected.process_bytes > machine.memory_available_bytes:
        raise UserError(
            f"hardware.num_env_runners={experiment.hardware.num_env_runners}: main process, env runners and learner "
            f"need {gibibytes(expected.process_bytes)} without the replay, and {_free_memory(machine)}; use fewer env "
            "runners, or a smaller algo.model_size or batch."
        )


def _free_memory(machine: Machine) -> str:
    """Return the free memory and its source as text."""
    source = machine.sources["memory_available_bytes"]
    return f"this machine has {gibibytes(machine.memory_available_bytes)} free according to {source}"
