"""`sweep.jobs_per_gpu`: how many jobs share a GPU, and MPS."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dreamer_exp.config.errors import UserError
from dreamer_exp.hardware import gpu_multiprocessors
from dreamer_exp.sweeps import gpu_sharing
from dreamer_exp.sweeps.gpu_sharing import PIPE, SHARE, GpuNeed, GpuSharing, mps, share_gpus
from dreamer_exp.sweeps.plan import show_plan
from tests.experiments import machine
from tests.sweeps.test_plan import BIG, plan

GIB = 2**30
H200 = replace(machine(cpus=16, gpus=1), gpu_memory_bytes=139 * GIB)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.parametrize(
    ("need", "multiprocessors", "jobs"),
    [
        (GpuNeed(2 * GIB, 32, 0), 132, 4),
        (GpuNeed(2 * GIB, 64, 0), 132, 2),  # by its kernels
        (GpuNeed(2 * GIB, 128, 0), 132, 1),
        (GpuNeed(40 * GIB, 32, 0), 132, 3),  # by memory
        (GpuNeed(200 * GIB, None, 0), 132, 1),
        (GpuNeed(2 * GIB, None, 0), 132, 4),
        (GpuNeed(2 * GIB, 32, 1), 132, 1),  # learner processes
    ],
)
def test_auto_is_limited_by_memory_and_multiprocessors(
    need: GpuNeed, multiprocessors: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_sharing, "gpu_multiprocessors", lambda: multiprocessors)
    assert share_gpus("auto", [need], H200).jobs == jobs


@pytest.mark.parametrize(
    ("need", "message"),
    [
        (GpuNeed(40 * GIB, None, 0), r"sweep\.jobs_per_gpu=4: each job needs about 40\.0 GiB .* at most 3 fit"),
        (GpuNeed(GIB, None, 1), r"use hardware\.num_learners=0"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(need: GpuNeed, message: str) -> None:
    with pytest.raises(UserError, match=message):
        share_gpus(4, [need], H200)


def test_the_plan_runs_several_jobs_on_each_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    on = replace(BIG, gpus=1, gpu_memory_bytes=80 * GIB)
    words = ("run.seed=1,2", "hardware=cuda", "hardware.num_env_runners=0", "hardware.num_cpus=1")
    assert plan(*words, on=on).slots == 1
    shared = plan(*words, "sweep.jobs_per_gpu=3", on=on)
    assert (shared.slots, shared.gpu_sharing) == (2, GpuSharing(2, "as set"))
    show_plan(shared)
    assert "2 jobs on each GPU (as set); by MPS if it can run" in capsys.readouterr().out


def test_jobs_of_slurm_share_no_gpu() -> None:
    words = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=4", "run.seed=1,2")
    with pytest.raises(UserError, match="each job of hydra/launcher=submitit_slurm has its own GPUs"):
        plan(*words, "sweep.jobs_per_gpu=2")


def test_without_the_daemon_jobs_share_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(PIPE, raising=False)
    with mps(GpuSharing(2)) as text:
        assert text == "in turns (nvidia-cuda-mps-control is not installed)"
        assert SHARE not in os.environ


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_daemon_without_a_gpu_is_ended_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = tmp_path / "nvidia-cuda-mps-control"
    control.write_text(f'#!/bin/sh\n[ "$1" = -d ] && touch {tmp_path}/started || cat >{tmp_path}/words\n')
    control.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(PIPE, raising=False)
    with mps(GpuSharing(2)) as text:
        assert text.startswith("in turns (MPS cannot run: ")
        assert PIPE not in os.environ
    assert (tmp_path / "started").exists()
    assert (tmp_path / "words").read_text() == "quit -t 5\n"


@on_gpu
def test_each_job_sees_its_part_of_the_multiprocessors() -> None:
    complete = torch.cuda.get_device_properties(0).multi_processor_count
    code = (
        "import torch; torch.ones(9, device='cuda').sum().item(); "
        "print(torch.cuda.get_device_properties(0).multi_processor_count)"
    )
    with mps(GpuSharing(2)) as text:
        if not text.startswith("by "):
            pytest.skip(text)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert complete / 2 - 1 <= int(done.stdout) <= complete / 2 + 4
    assert PIPE not in os.environ


@on_gpu
def test_multiprocessors_are_read_without_torch() -> None:
    assert gpu_multiprocessors() == torch.cuda.get_device_properties(0).multi_processor_count
