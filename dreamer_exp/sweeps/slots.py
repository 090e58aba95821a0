"""How many jobs run in parallel on one machine, and the share of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from dreamer_exp.hardware import Machine

POLL_S = 0.2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Need:
    """Resources that one job needs.

    Attributes:
        cpus: for its main process, and for its env runners if their number is set.
        gpus: for its learners.
        memory_bytes: of the host.
    """

    cpus: int
    gpus: int
    memory_bytes: int


def count_slots(needs: Sequence[Need], machine: Machine, jobs_per_gpu: int = 1) -> int:
    """Return how many jobs as large as the largest fit by CPUs, GPUs and memory; at least one.

    Args:
        needs: of each job.
        machine: the complete machine.
        jobs_per_gpu: jobs that share a GPU.
    """
    cpus, gpus = max(need.cpus for need in needs), max(need.gpus for need in needs)
    limits = [len(needs), machine.cpus // cpus, machine.memory_available_bytes // max(n.memory_bytes for n in needs)]
    if gpus:
        limits.append(machine.gpus * jobs_per_gpu // gpus)
    return max(1, min(limits))


def share(machine: Machine, slots: int) -> Machine:
    """Return one slot's share of the machine; if there are more slots than GPUs, several share one."""
    note = f"1 of {slots} parallel jobs"
    return replace(
        machine,
        cpus=max(1, machine.cpus // slots),
        gpus=max(1, machine.gpus // slots) if machine.gpus else 0,
        memory_available_bytes=machine.memory_available_bytes // slots,
        gpu_memory_bytes=machine.gpu_memory_bytes // max(1, -(-slots // max(1, machine.gpus))),
        sources={name: f"{source}, {note}" for name, source in machine.sources.items()} if slots > 1
        else machine.sources,
    )  # fmt: skip


def slot_environment(machine: Machine, slots: int, slot: int, visible: str | None) -> dict[str, str]:
    """Return the environment variables of a job in a slot: its threads and its GPUs.

    Args:
        machine: the complete machine.
        slots: the number of parallel jobs.
        slot: the job's slot, from 0.
        visible: the present CUDA_VISIBLE_DEVICES.
    """
    mine = share(machine, slots)
    variables = dict.fromkeys(THREADS, str(mine.cpus))
    if machine.gpus:
        devices = visible.split(",") if visible else [str(gpu) for gpu in range(machine.gpus)]
        first = slot * mine.gpus
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(devices[(first + i) % len(devices)] for i in range(mine.gpus))
    return variables


@contextmanager
def take_slot(folder: Path, slots: int, give_up: Callable[[], bool]) -> Iterator[int | None]:
    """Wait for a free slot and hold it within the block; yield its number, or None if `give_up` returned True.

    A slot is a file lock, so that a process that dies releases its slot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while not give_up():
        for slot in range(slots):
            lock = FileLock(folder / f"slot_{slot}")
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            try:
                yield slot
            finally:
                lock.release()
            return
        time.sleep(POLL_S)
    yield None
