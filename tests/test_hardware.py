"""The probed limits and their order, and the automatic number of env runners."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.config.errors import UserError
from dreamer_exp.hardware import UNKNOWN_MEMORY_BYTES, auto_env_runners, auto_processes, physical_cores, probe
from tests.experiments import machine

GIB = 2**30
MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"  # 16 and 8 GiB

Files = Callable[[dict[str, str]], Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Write files below a temporary root directory; the callable returns the root."""

    def write(contents: dict[str, str]) -> Path:
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the process 16 CPUs on every test machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


# CPUs


@pytest.mark.parametrize(
    ("environ", "cpus", "source"),
    [
        ({"SLURM_CPUS_PER_TASK": "12", "SLURM_CPUS_ON_NODE": "14"}, 12, "SLURM_CPUS_PER_TASK=12"),
        ({"SLURM_CPUS_ON_NODE": "14"}, 14, "SLURM_CPUS_ON_NODE=14"),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "3"}, 3, "SLURM_CPUS_ON_NODE=3"),
        ({"SLURM_CPUS_PER_TASK": "64"}, 16, "affinity=16, below SLURM_CPUS_PER_TASK=64"),
        ({}, 16, "affinity=16"),
    ],
)
def test_slurm_takes_precedence_and_never_exceeds_affinity(
    environ: dict[str, str], cpus: int, source: str, tmp_path: Path
) -> None:
    machine = probe(environ, tmp_path)
    assert (machine.cpus, machine.sources["cpus"]) == (cpus, source)


@pytest.mark.parametrize("value", ["abc", "0", "-2", "2(x3)", "1.5"])
@pytest.mark.parametrize("name", ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"])
def test_a_malformed_cpu_count_is_refused(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        probe({name: value}, tmp_path)
    assert str(caught.value) == f"{name}={value!r}: must be a whole number of CPUs, at least 1; correct or unset it"


CGROUP_V2 = {"proc/self/cgroup": "0::/job/step\n"}
CGROUP_V1 = {"proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n"}


@pytest.mark.parametrize(
    ("contents", "cpus"),
    [
        (CGROUP_V2 | {"sys/fs/cgroup/job/step/cpu.max": "250000 100000\n"}, 3),
        (CGROUP_V2 | {"sys/fs/cgroup/job/step/cpu.max": "10000 100000\n"}, 1),
        (CGROUP_V2 | {"sys/fs/cgroup/job/step/cpu.max": "max 100000\n"}, 16),
        (CGROUP_V2 | {"sys/fs/cgroup/job/step/cpu.max": "6400000 100000\n"}, 16),
        (
            CGROUP_V2
            | {
                "sys/fs/cgroup/job/step/cpu.max": "max 100000",
                "sys/fs/cgroup/job/cpu.max": "400000 100000",
                "sys/fs/cgroup/cpu.max": "800000 100000",
            },
            4,
        ),
        ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        (
            CGROUP_V1
            | {"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "550000", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"},
            6,
        ),
        (
            CGROUP_V1
            | {"sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"},
            16,
        ),
    ],
    ids=["rounded up", "at least 1", "unlimited", "above affinity", "parent", "namespace", "v1", "v1 unlimited"],
)
def test_a_cgroup_quota_limits_the_cpus(contents: dict[str, str], cpus: int, files: Files) -> None:
    assert probe({}, files(contents)).cpus == cpus


def test_without_affinity_the_systems_cpus_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert probe({}, tmp_path).cpus == 10


def test_hardware_threads_of_one_core_count_once(files: Files) -> None:
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    root = files({topology.format(cpu): f"{cpu % 8},{cpu % 8 + 8}\n" for cpu in range(16)})
    assert physical_cores(16, root) == 8
    assert physical_cores(3, root) == 3


def test_without_a_topology_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert physical_cores(12, tmp_path) == 12


def test_automatic_processes_are_bounded_by_cores_tasks_and_memory() -> None:
    here = machine(cpus=1000, memory_bytes=64 * GIB)
    assert auto_processes(tasks=10_000, machine=here, bytes_each=1) == physical_cores(1000)
    assert auto_processes(tasks=3, machine=here, bytes_each=1) == min(3, physical_cores(1000))
    assert auto_processes(tasks=10_000, machine=here, bytes_each=65 * GIB) == 1


def test_the_cpu_name_is_read_from_the_kernel(files: Files) -> None:
    root = files({"proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nflags\t: a b\n"})
    assert probe({}, root).cpu_name == "Fast CPU @ 3 GHz"


# GPUs


@pytest.mark.parametrize(
    ("environ", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "0,-1,1"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "MIG-GPU-8932f937/1/2,MIG-b0ff8"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "", "SLURM_GPUS_ON_NODE": "2"}, 0),
        ({"SLURM_GPUS_ON_NODE": "2", "SLURM_GPUS": "8", "SLURM_JOB_GPUS": "0"}, 2),
        ({"SLURM_GPUS": "2"}, 2),
        ({"SLURM_GPUS": "a100:2"}, 2),
        ({"SLURM_GPUS": "gpu:a100:2"}, 2),
        ({"SLURM_GPUS": "a100:1,nvidia_h100_1g.10gb:2"}, 3),
        ({"SLURM_JOB_GPUS": "0,1"}, 2),
        ({"SLURM_JOB_GPUS": "3"}, 1),
        ({"SLURM_JOB_GPUS": "0-3"}, 4),
        ({}, 0),
    ],
)
def test_cudas_variable_takes_precedence_over_slurms(environ: dict[str, str], gpus: int, tmp_path: Path) -> None:
    assert probe(environ, tmp_path).gpus == gpus


@pytest.mark.parametrize(
    "environ",
    [
        {"CUDA_VISIBLE_DEVICES": "all"},
        {"CUDA_VISIBLE_DEVICES": "0;1"},
        {"SLURM_GPUS_ON_NODE": "two"},
        {"SLURM_GPUS": "a100:"},
        {"SLURM_JOB_GPUS": "a100:2"},
    ],
)
def test_a_malformed_gpu_variable_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    ((name, value),) = environ.items()
    with pytest.raises(UserError) as caught:
        probe(environ, tmp_path)
    assert str(caught.value).startswith(f"{name}={value!r}: must be ")
    assert "\n" not in str(caught.value)


def test_without_variables_the_drivers_devices_count(files: Files) -> None:
    root = files({f"proc/driver/nvidia/gpus/0000:0{i}:00.0/information": "Model: A30" for i in range(2)})
    machine = probe({}, root)
    assert (machine.gpus, machine.sources["gpus"]) == (2, "/proc/driver/nvidia/gpus")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvidia-smi is a shell script")
@pytest.mark.parametrize(
    ("script", "gpus", "source"),
    [
        ("echo 'GPU 0: A30 (UUID: GPU-1)'\necho '  MIG 1g.6gb Device 0:'\necho 'GPU 1: A30'", 2, "nvidia-smi -L"),
        ("exit 9", 0, "nvidia-smi -L failed"),
    ],
)
def test_nvidia_smi_is_the_last_source_of_the_number_of_gpus(script: str, gpus: int, source: str, files: Files) -> None:
    root = files({"bin/nvidia-smi": f"#!/bin/sh\n{script}\n"})
    (root / "bin/nvidia-smi").chmod(0o755)
    machine = probe({"PATH": str(root / "bin")}, root)
    assert (machine.gpus, machine.sources["gpus"]) == (gpus, source)


@pytest.fixture
def nvidia_smi(files: Files) -> Callable[[str], dict[str, str]]:
    """Write a stand-in for nvidia-smi; the callable returns its PATH."""

    def write(script: str) -> dict[str, str]:
        root = files({"bin/nvidia-smi": f"#!/bin/sh\n{script}\n"})
        (root / "bin/nvidia-smi").chmod(0o755)
        return {"PATH": str(root / "bin")}

    return write


on_posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvidia-smi is a shell script")


@on_posix
@pytest.mark.parametrize(
    ("script", "gpu_memory", "source"),
    [
        ("echo 81559\necho 40960", 81559 * 2**20, "nvidia-smi"),
        ("echo '[N/A]'", 0, "not reported by nvidia-smi"),
        ("exit 9", 0, "not reported by nvidia-smi"),
        ("true", 0, "not reported by nvidia-smi"),
    ],
)
def test_the_first_gpus_memory_is_read_from_nvidia_smi(
    script: str, gpu_memory: int, source: str, nvidia_smi: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    machine = probe({**nvidia_smi(script), "SLURM_GPUS": "2"}, tmp_path)
    assert (machine.gpu_memory_bytes, machine.sources["gpu_memory_bytes"]) == (gpu_memory, source)


@on_posix
@pytest.mark.parametrize(("devices", "queried"), [("2,3", "2"), ("GPU-8932f937,GPU-2", "GPU-8932f937")])
def test_the_first_gpu_is_the_first_visible_one(
    devices: str, queried: str, nvidia_smi: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    environ = nvidia_smi(f'case "$*" in *"-i {queried}") echo 1024 ;; *) echo 7 ;; esac')
    assert probe({**environ, "CUDA_VISIBLE_DEVICES": devices}, tmp_path).gpu_memory_bytes == 2**30


@on_posix
@pytest.mark.parametrize("environ", [{"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "MIG-GPU-8932f937/1/2"}])
def test_nvidia_smi_is_not_called_without_a_gpu_or_for_a_part_of_one(
    environ: dict[str, str], nvidia_smi: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    machine = probe({**nvidia_smi(f"touch {tmp_path}/called; echo 1024"), **environ}, tmp_path)
    assert machine.gpu_memory_bytes == 0
    assert not (tmp_path / "called").exists()


def test_without_nvidia_smi_a_gpus_memory_is_unknown(tmp_path: Path) -> None:
    machine = probe({"CUDA_VISIBLE_DEVICES": "0"}, tmp_path)
    assert (machine.gpus, machine.gpu_memory_bytes, machine.sources["gpu_memory_bytes"]) == (1, 0, "no nvidia-smi")


# Memory


@pytest.mark.parametrize(
    ("contents", "total", "available"),
    [
        ({}, 16 * GIB, 8 * GIB),
        (
            CGROUP_V2
            | {"sys/fs/cgroup/job/memory.max": f"{4 * GIB}\n", "sys/fs/cgroup/job/memory.current": f"{3 * GIB}\n"},
            4 * GIB,
            1 * GIB,
        ),
        (
            CGROUP_V2
            | {
                "sys/fs/cgroup/job/memory.max": str(4 * GIB),
                "sys/fs/cgroup/job/memory.current": str(3 * GIB),
                "sys/fs/cgroup/job/memory.stat": f"anon 5\ninactive_file {2 * GIB}\nactive_file 7\n",
            },
            4 * GIB,
            3 * GIB,
        ),
        (
            CGROUP_V2 | {"sys/fs/cgroup/job/memory.max": "max", "sys/fs/cgroup/job/memory.current": str(3 * GIB)},
            16 * GIB,
            8 * GIB,
        ),
        (
            CGROUP_V1
            | {
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(12 * GIB),
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(2 * GIB),
            },
            12 * GIB,
            8 * GIB,
        ),
        (
            CGROUP_V1
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": str(2 * GIB),
            },
            16 * GIB,
            8 * GIB,
        ),
    ],
    ids=["machine", "v2", "v2 page cache", "v2 unlimited", "v1", "v1 unlimited"],
)
def test_memory_is_the_lowest_limit_of_machine_and_cgroup(
    contents: dict[str, str], total: int, available: int, files: Files
) -> None:
    machine = probe({}, files({"proc/meminfo": MEMINFO} | contents))
    assert (machine.memory_bytes, machine.memory_available_bytes) == (total, available)


def test_without_meminfo_sysconf_has_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 16384, "SC_PHYS_PAGES": 2**20}.__getitem__, raising=False)
    machine = probe({}, tmp_path)
    assert (machine.memory_bytes, machine.sources["memory_bytes"]) == (16 * GIB, "sysconf")


def test_without_sysconf_the_memory_is_assumed_and_marked_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    machine = probe({}, tmp_path)
    assert machine.memory_bytes == UNKNOWN_MEMORY_BYTES
    assert "assumed" in machine.sources["memory_bytes"]


# Other


@pytest.mark.parametrize(("environ", "job"), [({"SLURM_JOB_ID": "4711"}, "4711"), ({"SLURM_JOB_ID": ""}, None)])
def test_the_slurm_job_is_recorded(environ: dict[str, str], job: str | None, tmp_path: Path) -> None:
    assert probe(environ, tmp_path).slurm_job_id == job


def test_this_machine_can_be_probed() -> None:
    machine = probe()
    assert machine.cpus >= 1
    assert machine.cpu_name
    assert machine.platform
    assert 0 <= machine.memory_available_bytes <= machine.memory_bytes
    assert set(machine.sources) == {"cpus", "gpus", "memory_bytes", "memory_available_bytes", "gpu_memory_bytes"}


@pytest.mark.parametrize(
    ("cpus", "cap", "runners"), [(12, None, 8), (8, None, 4), (4, None, 0), (2, None, 0), (64, 16, 16), (12, 16, 8)]
)
def test_auto_reserves_four_cpus(cpus: int, cap: int | None, runners: int) -> None:
    assert auto_env_runners(cpus, cap) == runners


@given(cpus=st.integers(1, 1024), cap=st.none() | st.integers(0, 256))
def test_auto_is_between_zero_and_its_cap(cpus: int, cap: int | None) -> None:
    runners = auto_env_runners(cpus, cap)
    assert 0 <= runners < cpus
    assert cap is None or runners <= cap


def test_neither_ray_nor_torch_is_imported() -> None:
    code = "import sys, dreamer_exp.hardware; sys.exit(any(name in sys.modules for name in ('ray', 'torch')))"
    subprocess.run([sys.executable, "-c", code], check=True)
