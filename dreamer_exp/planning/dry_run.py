"""`dry_run=true`: print the resolved experiment, the observation, resources, memory and the planned work."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from dreamer_exp import scratch
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import unchecked
from dreamer_exp.formatting import gibibytes, parameter_count
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.forecast import Forecast, forecast, host_bytes, replay_room
from dreamer_exp.planning.work import describe_time, describe_work, last_pace, work_to_come


def show(
    experiment: Experiment,
    contract: ObservationContract,
    machine: Machine,
    progress: Mapping[str, Any] | None = None,
    *,
    weights: str | None = None,
    further_warnings: Sequence[str] = (),
) -> None:
    """Print everything that is known before the run, without importing ray or torch.

    Args:
        experiment: The resolved experiment.
        contract: The observation and action contract of its environment.
        machine: The machine that would run it.
        progress: The counters of the checkpoint that a resume continues from; None for a new run.
        weights: The weights that the run begins with; None if they are random.
        further_warnings: Of the caller, one line each.
    """
    console = Console(highlight=False)
    console.print(yaml.safe_dump(experiment.to_dict(), sort_keys=False).rstrip(), markup=False)
    console.print()
    console.print(observation_table(contract))
    console.print(plan_table(experiment, contract, machine, progress, weights))
    for line in (*further_warnings, *warnings(experiment, forecast(experiment, contract), machine)):
        console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)
    if skipped := unchecked(experiment.env):
        console.print(f"not checked: {skipped}", style="yellow", markup=False, soft_wrap=True)
    console.print("Dry run: nothing was started.")


def observation_table(contract: ObservationContract) -> Table:
    """Return a table of the observation: key, shape, bounds and slice of the vector, one entry a line."""
    table = Table(title="Observation", caption=f"{contract.name}: {contract.size} floats; contract {contract.hash}",
                  min_width=60)  # fmt: skip
    for heading in ("key", "shape", "bounds", "slice"):
        table.add_column(heading)
    for entry in contract.entries:
        bounds = f"[{entry.low:g}, {entry.high:g}]"
        table.add_row(entry.key, str(entry.shape), bounds, f"[{entry.start}:{entry.stop}]")
    return table


def plan_table(
    experiment: Experiment,
    contract: ObservationContract,
    machine: Machine,
    progress: Mapping[str, Any] | None = None,
    weights: str | None = None,
) -> Table:
    """Return a table of resources, memory and the planned work, one line each."""
    hardware, work, expected = experiment.hardware, work_to_come(experiment, progress), forecast(experiment, contract)
    runners = f"{hardware.num_env_runners} env runners" if hardware.num_env_runners else "the main process"
    gpu_memory = f", {gibibytes(machine.gpu_memory_bytes)} on the first" if machine.gpu_memory_bytes else ""
    rows = {
        "actions": f"{contract.action.kind} of size {contract.action.size}",
        "machine": f"{machine.cpus} CPUs ({machine.sources['cpus']}), {machine.gpus} GPUs{gpu_memory}, "
        f"{gibibytes(machine.memory_available_bytes)} of {gibibytes(machine.memory_bytes)} free",
        "learner": learner_text(experiment, expected),
        **({} if weights is None else {"weights": weights}),
        "sampling": f"{runners} x {hardware.num_envs_per_env_runner} environments x "
        f"{hardware.rollout_fragment_length} steps = {hardware.env_steps_per_iteration:,} env steps an iteration, "
        + ("in parallel with the learner" if hardware.overlap_sampling else "alternating with the learner"),
        "replay": replay_text(experiment, expected, machine),
        "memory": memory_text(expected, machine),
        "disk": disk_text(expected),
        "to come": describe_work(experiment, work),
        "time": describe_time(work, last_pace(experiment, Path.cwd())),
    }
    table = Table(title="Plan", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    return table


def learner_text(experiment: Experiment, expected: Forecast) -> str:
    """Return device, algorithm and size of the network as text."""
    gpus, spec, count = experiment.hardware.num_gpus_per_learner, spec_of(experiment.algo), expected.memory.parameters
    backend = spec.backend(experiment.algo)
    counted = "" if count is None else f" ({parameter_count(count)} parameters)"
    reason = f"; not {backend.requested}: {backend.why}" if backend and backend.why else ""
    return f"{f'{gpus} GPU(s)' if gpus else 'CPU'}, {spec.describe(experiment.algo, backend)}{counted}{reason}"


def replay_text(experiment: Experiment, expected: Forecast, machine: Machine) -> str:
    """Return device and size of the replay, and the memory there, as text."""
    capacity, step_bytes = expected.memory.replay_capacity, expected.memory.bytes_per_step
    if not capacity:
        return "none"
    room = replay_room(experiment, expected, machine)
    step, full = f"{step_bytes:,} bytes a step", gibibytes(capacity * step_bytes)
    if expected.memory.replay_on_gpu:
        available = "" if room is None else f", of its {gibibytes(room)}"
        return f"on the GPU; {step}; {full} from the start, for its capacity of {capacity:,} steps{available}"
    available = "" if room is None else f", of {gibibytes(room)} free"
    return (
        f"on the host; {step}; {gibibytes(expected.replay_bytes)} at {expected.replay_steps:,} steps, the maximum of "
        f"this run; {full} at its capacity of {capacity:,} steps{available}"
    )


def memory_text(expected: Forecast, machine: Machine) -> str:
    """Return the largest host memory of the run as text."""
    total = host_bytes(expected)
    parts = f"{gibibytes(expected.process_bytes)} for processes and network"
    parts += "" if total == expected.process_bytes else f", {gibibytes(expected.replay_bytes)} for the replay"
    return f"about {gibibytes(total)} of this machine's {gibibytes(machine.memory_available_bytes)} free: {parts}"


def disk_text(expected: Forecast) -> str:
    """Return the size of the checkpoints as text; outputs/ is in the working directory."""
    total = gibibytes(expected.checkpoints * expected.checkpoint_bytes)
    return (
        f"up to {total} of {gibibytes(disk_free())} free here: {expected.checkpoints} checkpoints of up to "
        f"{gibibytes(expected.checkpoint_bytes)}, replay included"
    )


def disk_free() -> int:
    """Return the free bytes on the disk of the working directory."""
    return shutil.disk_usage(Path.cwd()).free


def warnings(experiment: Experiment, expected: Forecast, machine: Machine) -> list[str]:
    """Return what will work badly, one line each, with the key to change."""
    hardware = experiment.hardware
    found = [*scratch.diagnose(), *spec_of(experiment.algo).warnings(experiment)]
    if hardware.ray_address is None and hardware.num_cpus > machine.cpus:
        found.append(
            f"hardware.num_cpus={hardware.num_cpus}, but this machine has {machine.cpus} usable CPUs: "
            f"{hardware.num_env_runners} env runners share them."
        )
    room, on_gpu = replay_room(experiment, expected, machine), expected.memory.replay_on_gpu
    if room is not None and not on_gpu:
        room -= expected.process_bytes
    if room is not None and expected.replay_bytes > 0.8 * room:
        available = f"the GPU has {gibibytes(room)}" if on_gpu else f"{gibibytes(room)} are left"
        found.append(
            f"algo.replay_capacity={expected.memory.replay_capacity}: the replay will need "
            f"{gibibytes(expected.replay_bytes)}, and {available}; "
            f"{int(0.5 * room / expected.memory.bytes_per_step):,} steps need half of that."
        )
    if expected.checkpoints * expected.checkpoint_bytes > disk_free():
        found.append(
            f"run.keep_checkpoints={experiment.run.keep_checkpoints}: {expected.checkpoints} checkpoints of up to "
            f"{gibibytes(expected.checkpoint_bytes)} are on the disk at the same time, and here "
            f"{gibibytes(disk_free())} are free; keep fewer, or use a smaller algo.replay_capacity."
        )
    return found
