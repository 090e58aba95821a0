"""Slots of a machine: how many there are, and what a job in one gets."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dreamer_exp.sweeps.slots import Need, count_slots, share, slot_environment, take_slot
from tests.experiments import machine

GIB = 2**30


@pytest.mark.parametrize(
    ("needs", "cpus", "gpus", "slots"),
    [
        ([Need(1, 0, GIB)] * 12, 8, 0, 8),
        ([Need(1, 0, GIB)] * 3, 8, 0, 3),  # no more than jobs
        ([Need(1, 0, GIB), Need(3, 0, GIB)] * 6, 8, 0, 2),  # limited by the largest job
        ([Need(9, 0, GIB)] * 2, 8, 0, 1),
        ([Need(1, 0, 5 * GIB)] * 12, 8, 0, 3),  # limited by memory
        ([Need(1, 1, GIB)] * 12, 8, 2, 2),  # one GPU each
        ([Need(1, 0, 99 * GIB)] * 12, 8, 0, 1),
    ],
)
def test_cpus_gpus_and_memory_limit_the_slots(needs: list[Need], cpus: int, gpus: int, slots: int) -> None:
    assert count_slots(needs, machine(cpus=cpus, gpus=gpus, memory_bytes=16 * GIB)) == slots


def test_several_jobs_on_each_gpu_have_so_many_slots() -> None:
    assert count_slots([Need(1, 1, GIB)] * 12, machine(cpus=8, gpus=2, memory_bytes=16 * GIB), 3) == 6


def test_a_slot_has_a_share_of_cpus_and_memory() -> None:
    mine = share(machine(cpus=8, memory_bytes=16 * GIB), 3)
    assert (mine.cpus, mine.memory_available_bytes) == (2, 16 * GIB // 3)
    assert "1 of 3 parallel jobs" in mine.sources["cpus"]


def test_several_slots_on_one_gpu_share_its_memory() -> None:
    complete = replace(machine(cpus=8, gpus=2), gpu_memory_bytes=80 * GIB)
    assert (share(complete, 2).gpus, share(complete, 2).gpu_memory_bytes) == (1, 80 * GIB)
    assert (share(complete, 4).gpus, share(complete, 4).gpu_memory_bytes) == (1, 40 * GIB)


@pytest.mark.parametrize(
    ("gpus", "slots", "visible", "devices"),
    [
        (2, 2, None, ["0", "1"]),
        (4, 2, None, ["0,1", "2,3"]),
        (2, 4, None, ["0", "1", "0", "1"]),
        (2, 2, "5,7", ["5", "7"]),  # out of the visible ones
    ],
)
def test_each_slot_sees_other_gpus(gpus: int, slots: int, visible: str | None, devices: list[str]) -> None:
    variables = [slot_environment(machine(cpus=8, gpus=gpus), slots, slot, visible) for slot in range(slots)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in variables] == devices


def test_without_a_gpu_cuda_visible_devices_is_not_set() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in slot_environment(machine(cpus=8), 2, 0, None)


def test_a_slot_has_a_thread_for_each_of_its_cpus() -> None:
    assert slot_environment(machine(cpus=8), 2, 0, None)["OMP_NUM_THREADS"] == "4"


def test_parallel_jobs_hold_different_slots(tmp_path: Path) -> None:
    with take_slot(tmp_path, 2, lambda: False) as first, take_slot(tmp_path, 2, lambda: False) as second:
        assert {first, second} == {0, 1}


def test_a_slot_is_free_after_its_job(tmp_path: Path) -> None:
    with take_slot(tmp_path, 1, lambda: False):
        pass
    with take_slot(tmp_path, 1, lambda: False) as slot:
        assert slot == 0


def test_a_job_can_stop_waiting_for_a_slot(tmp_path: Path) -> None:
    answers = iter([False, False, True])
    with take_slot(tmp_path, 1, lambda: False), take_slot(tmp_path, 1, lambda: next(answers)) as slot:
        assert slot is None


def test_a_killed_process_releases_its_slot(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from dreamer_exp.sweeps.slots import take_slot
with take_slot(Path({str(tmp_path)!r}), 1, lambda: False):
    print("taken", flush=True)
    input()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    with take_slot(tmp_path, 1, iter([False, True]).__next__) as slot:
        assert slot is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with take_slot(tmp_path, 1, lambda: False) as slot:
        assert slot == 0
