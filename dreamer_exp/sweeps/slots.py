"""How many jobs run side by side on one machine, and what each of them gets of it."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dreamer_exp.hardware import Machine

POLL_S = 0.2
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True)
class Need:
    """What one job takes of a machine."""

    cpus: int  # its main process, and its env runners where their number is given
    gpus: int
    memory_bytes: int


def count_slots(needs: Sequence[Need], machine: Machine) -> int:
    """Jobs that fit side by side by CPUs, GPUs and memory, each as large as the largest; at least one."""
    cpus, gpus = max(need.cpus for need in needs), max(need.gpus for need in needs)
    limits = [len(needs), machine.cpus // cpus, machine.memory_available_bytes // max(n.memory_bytes for n in needs)]
    if gpus:
        limits.append(machine.gpus // gpus)
    return max(1, min(limits))


def share(machine: Machine, slots: int) -> Machine:
    """One slot's part of the machine. Where there are more slots than GPUs, several share one."""
    told = f"1 of {slots} jobs side by side"
    return replace(
        machine,
        cpus=max(1, machine.cpus // slots),
        gpus=max(1, machine.gpus // slots) if machine.gpus else 0,
        memory_available_bytes=machine.memory_available_bytes // slots,
        gpu_memory_bytes=machine.gpu_memory_bytes // max(1, -(-slots // max(1, machine.gpus))),
        sources={name: f"{source}, {told}" for name, source in machine.sources.items()} if slots > 1
        else machine.sources,
    )  # fmt: skip


def slot_environment(machine: Machine, slots: int, slot: int, visible: str | None) -> dict[str, str]:
    """Environment variables of a job in this slot: its threads and its GPUs.

    Args:
        machine: the whole.
        slots: jobs side by side.
        slot: which of them, from 0.
        visible: CUDA_VISIBLE_DEVICES as it is.
    """
    mine = share(machine, slots)
    found = dict.fromkeys(THREADS, str(mine.cpus))
    if machine.gpus:
        devices = visible.split(",") if visible else [str(gpu) for gpu in range(machine.gpus)]
        first = slot * mine.gpus
        found["CUDA_VISIBLE_DEVICES"] = ",".join(devices[(first + i) % len(devices)] for i in range(mine.gpus))
    return found


@contextmanager
def take_slot(folder: Path, slots: int, give_up: Callable[[], bool]) -> Iterator[int | None]:
    """A slot's number for as long as this lasts, waited for; None when told to give up.

    A slot is a locked file, so that a process that dies, however it dies, gives its slot back.
    """
    folder.mkdir(parents=True, exist_ok=True)
    while not give_up():
        for slot in range(slots):
            file = os.open(folder / f"slot_{slot}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            try:
                yield slot
            finally:
                os.close(file)
            return
        time.sleep(POLL_S)
    yield None
