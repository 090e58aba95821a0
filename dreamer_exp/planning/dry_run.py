"""`dry_run=true`: the resolved experiment, what the policy sees, resources, memory and the work to come."""

import shutil
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from dreamer_exp.algorithms.dreamerv3.backends.requirements import expected_backend
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import unchecked
from dreamer_exp.formatting import gibibytes, parameter_count
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.forecast import Forecast, forecast, host_bytes, parameters, replay_room


def show(experiment: Experiment, contract: ObservationContract, machine: Machine) -> None:
    """Prints everything that is known before the run; imports neither ray nor torch."""
    console = Console(highlight=False)
    console.print(yaml.safe_dump(experiment.to_dict(), sort_keys=False).rstrip(), markup=False)
    console.print()
    console.print(observation_table(contract))
    console.print(plan_table(experiment, contract, machine))
    for line in warnings(experiment, forecast(experiment, contract), machine):
        console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)
    if left := unchecked(experiment.env):
        console.print(f"not checked: {left}", style="yellow", markup=False, soft_wrap=True)
    console.print("Dry run: nothing was started.")


def observation_table(contract: ObservationContract) -> Table:
    """One line an entry of the observation: key, shape, bounds, slice of the vector."""
    table = Table(title="Observation", caption=f"{contract.name}: {contract.size} floats; contract {contract.hash}",
                  min_width=60)  # fmt: skip
    for heading in ("key", "shape", "bounds", "slice"):
        table.add_column(heading)
    for entry in contract.entries:
        bounds = f"[{entry.low:g}, {entry.high:g}]"
        table.add_row(entry.key, str(entry.shape), bounds, f"[{entry.start}:{entry.stop}]")
    return table


def plan_table(experiment: Experiment, contract: ObservationContract, machine: Machine) -> Table:
    """Resources, memory and the work to come, one line each."""
    hardware, algo = experiment.hardware, experiment.algo
    runners = f"{hardware.num_env_runners} env runners" if hardware.num_env_runners else "the main process"
    gpu_memory = f", {gibibytes(machine.gpu_memory_bytes)} on the first" if machine.gpu_memory_bytes else ""
    iterations = experiment.run.train_iterations
    rows = {
        "actions": f"{contract.action.kind} of size {contract.action.size}",
        "machine": f"{machine.cpus} CPUs ({machine.sources['cpus']}), {machine.gpus} GPUs{gpu_memory}, "
        f"{gibibytes(machine.memory_available_bytes)} of {gibibytes(machine.memory_bytes)} free",
        "learner": learner_text(experiment, contract),
        "sampling": f"{runners} x {hardware.num_envs_per_env_runner} environments x "
        f"{hardware.rollout_fragment_length} steps = {hardware.env_steps_per_iteration:,} env steps an iteration, "
        + ("while the learner learns" if hardware.overlap_sampling else "in turn with the learner"),
        "replay": replay_text(experiment, forecast(experiment, contract), machine),
        "memory": memory_text(experiment, forecast(experiment, contract), machine),
        "disk": disk_text(forecast(experiment, contract)),
        "to come": f"{iterations:,} iterations, {iterations * hardware.env_steps_per_iteration:,} env steps, "
        f"about {experiment.planned_updates():,} updates of {algo.batch_size_B} x {algo.batch_length_T} steps",
    }
    table = Table(title="Plan", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def learner_text(experiment: Experiment, contract: ObservationContract) -> str:
    """Where and how the updates are computed, and how large the network is."""
    gpus, algo = experiment.hardware.num_gpus_per_learner, experiment.algo
    count = parameters(experiment, contract)
    counted = "" if count is None else f" ({parameter_count(count)} parameters)"
    device = f"{gpus} GPU(s)" if gpus else "CPU"
    backend, why = expected_backend(algo) if algo.name == "dreamerv3" else ("", "")
    reason = f"; not fused: {why}" if why else ""
    return f"{device}, {algo.name}{computing(algo, backend)}, size {algo.model_size}{counted}{reason}"


def computing(algo: Any, backend: str) -> str:
    """Return the backend and precision of the updates in brackets, or "" for an algorithm without a choice of them."""
    return f" (backend {backend}, precision {algo.precision})" if algo.name == "dreamerv3" else ""


def replay_text(experiment: Experiment, expected: Forecast, machine: Machine) -> str:
    """What the replay takes, where, and of how much."""
    capacity, room = experiment.algo.replay_capacity, replay_room(experiment, machine)
    step, full = f"{expected.bytes_per_step:,} bytes a step", gibibytes(capacity * expected.bytes_per_step)
    if getattr(experiment.algo, "replay_device", "cpu") == "cuda":
        of = "" if room is None else f", of its {gibibytes(room)}"
        return f"on the GPU; {step}; {full} from the beginning, for its capacity of {capacity:,}{of}"
    of = "" if room is None else f", of {gibibytes(room)} free"
    return (
        f"on the host; {step}; {gibibytes(expected.replay_bytes)} at {expected.replay_steps:,} steps, the most of this "
        f"run; {full} at its capacity of {capacity:,}{of}"
    )


def memory_text(experiment: Experiment, expected: Forecast, machine: Machine) -> str:
    """What the run takes of the host at its fullest, and of how much."""
    total = host_bytes(experiment, expected)
    parts = f"{gibibytes(expected.beside_bytes)} for processes and network"
    parts += "" if total == expected.beside_bytes else f", {gibibytes(expected.replay_bytes)} for the replay"
    return f"about {gibibytes(total)} of this machine's {gibibytes(machine.memory_available_bytes)} free: {parts}"


def disk_text(expected: Forecast) -> str:
    """What the checkpoints take here, where outputs/ will lie."""
    total = gibibytes(expected.checkpoints * expected.checkpoint_bytes)
    return (
        f"up to {total} of {gibibytes(disk_free())} free here: {expected.checkpoints} checkpoints of up to "
        f"{gibibytes(expected.checkpoint_bytes)}, replay included"
    )


def disk_free() -> int:
    """Bytes that are free where this process works."""
    return shutil.disk_usage(Path.cwd()).free


def warnings(experiment: Experiment, expected: Forecast, machine: Machine) -> list[str]:
    """What will work but not well, one line each, with the key to turn."""
    found = []
    hardware = experiment.hardware
    if hardware.ray_address is None and hardware.num_cpus > machine.cpus:
        found.append(
            f"hardware.num_cpus={hardware.num_cpus}, but this machine has {machine.cpus} usable CPUs: "
            f"{hardware.num_env_runners} env runners will share them."
        )
    room, on_gpu = replay_room(experiment, machine), getattr(experiment.algo, "replay_device", "cpu") == "cuda"
    if room is not None and not on_gpu:
        room -= expected.beside_bytes
    if room is not None and expected.replay_bytes > 0.8 * room:
        there = "all that the GPU has" if on_gpu else "left for it"
        found.append(
            f"algo.replay_capacity={experiment.algo.replay_capacity}: the replay will hold "
            f"{gibibytes(expected.replay_bytes)}, and {gibibytes(room)} are {there}; "
            f"{int(0.5 * room / expected.bytes_per_step):,} steps take half of that."
        )
    if expected.checkpoints * expected.checkpoint_bytes > disk_free():
        found.append(
            f"run.keep_checkpoints={experiment.run.keep_checkpoints}: {expected.checkpoints} checkpoints of up to "
            f"{gibibytes(expected.checkpoint_bytes)} lie on the disk at one time, and here {gibibytes(disk_free())} "
            "are free; keep fewer, or take a smaller algo.replay_capacity."
        )
    return found
