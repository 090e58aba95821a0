"""Usable CPUs, GPUs and memory of this machine under affinity, cgroup and SLURM limits.

Imports neither ray nor torch, so that a dry run and the doctor start fast.
"""

import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.config.errors import UserError

RESERVED_CPUS = 4  # for the main process, the learner and Ray's own processes
UNKNOWN_MEMORY_BYTES = 8 * 2**30
COMMAND_TIMEOUT_S = 10.0
MULTIPROCESSOR_COUNT = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT of cuda.h

_NO_DEVICES = ("", "-1", "NoDevFiles")  # SLURM sets the last in a job without GPUs
_GPU_NAME = re.compile(r"\d+|(GPU|MIG)-[\w\-/]+")
_GPU_COUNT = re.compile(r"(?:[\w.\-]+:)*(\d+)")
_GPU_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Machine:
    """What this process may use. `sources` holds the origin of each value, by field name."""

    cpus: int
    cpu_name: str
    gpus: int
    memory_bytes: int
    memory_available_bytes: int
    slurm_job_id: str | None
    platform: str
    sources: dict[str, str]
    gpu_memory_bytes: int = 0  # of the first visible GPU; 0 if there is none or it is unknown


def probe(environ: Mapping[str, str] = os.environ, root: Path = Path("/")) -> Machine:
    """Return what this process may use of this machine.

    Args:
        environ: Environment variables of SLURM and CUDA, and PATH for nvidia-smi.
        root: Folder with proc/ and sys/.

    Raises:
        UserError: A variable of SLURM or CUDA is malformed.
    """
    cpus, cpus_from = _cpus(environ, root)
    gpus, gpus_from = _gpus(environ, root)
    gpu_memory, gpu_memory_from = _gpu_memory(environ) if gpus else (0, "no GPU")
    (total, total_from), (available, available_from) = _memory(root)
    return Machine(
        cpus=cpus,
        cpu_name=_cpu_name(root),
        gpus=gpus,
        memory_bytes=total,
        memory_available_bytes=available,
        slurm_job_id=environ.get("SLURM_JOB_ID") or None,
        platform=platform.platform(),
        sources={
            "cpus": cpus_from,
            "gpus": gpus_from,
            "memory_bytes": total_from,
            "memory_available_bytes": available_from,
            "gpu_memory_bytes": gpu_memory_from,
        },
        gpu_memory_bytes=gpu_memory,
    )


def auto_env_runners(cpus: int, cap: int | None) -> int:
    """Return the env runners for `cpus`: all but RESERVED_CPUS, at least 0, at most `cap`."""
    runners = max(0, cpus - RESERVED_CPUS)
    return runners if cap is None else min(runners, cap)


# CPUs


def physical_cores(cpus: int, root: Path = Path("/")) -> int:
    """Return the physical cores behind the CPUs of this process's affinity, at most `cpus`.

    Two hardware threads of one core count once. Where the topology is unknown, it is `cpus`.
    """
    sched_getaffinity = getattr(os, "sched_getaffinity", None)  # Linux only
    own = sched_getaffinity(0) if sched_getaffinity else ()
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = [_read(root / topology.format(cpu)) for cpu in own]
    return max(1, min(cpus, len(set(siblings)))) if siblings and all(siblings) else max(1, cpus)


def auto_processes(tasks: int, machine: Machine, bytes_each: int) -> int:
    """Return a number of processes: one for each physical core, as far as memory and tasks suffice, at least one."""
    return max(1, min(physical_cores(machine.cpus), tasks, machine.memory_available_bytes // bytes_each))


def _cpus(environ: Mapping[str, str], root: Path) -> tuple[int, str]:
    affinity = _affinity()
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        text = environ.get(name, "").strip()
        if not text:
            continue
        if not text.isdecimal() or int(text) < 1:
            raise UserError(f"{name}={text!r}: must be a whole number of CPUs, at least 1; correct or unset it")
        given = f"{name}={text}"
        return (int(text), given) if int(text) <= affinity else (affinity, f"affinity={affinity}, below {given}")
    quotas = [quota for folder in _cgroup_folders(root, "cpu") if (quota := _cpu_quota(folder)) is not None]
    if quotas and math.ceil(min(quotas)) < affinity:
        return max(1, math.ceil(min(quotas))), f"cgroup quota={min(quotas):g}"
    return affinity, f"affinity={affinity}"


def _affinity() -> int:
    sched_getaffinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(sched_getaffinity(0)) if sched_getaffinity else os.cpu_count() or 1


def _cpu_quota(folder: Path) -> float | None:
    """Return the CPUs that the cgroup at `folder` may use; None if unlimited."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:  # "max" in v2, -1 in v1
        return None
    return int(quota) / int(period)


def _cpu_name(root: Path) -> str:
    named = re.search(r"^model name\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    if named:
        return named[1].strip()
    apple = _output(["sysctl", "-n", "machdep.cpu.brand_string"]) if sys.platform == "darwin" else None
    return apple or platform.processor() or platform.machine()


# GPUs


def _gpus(environ: Mapping[str, str], root: Path) -> tuple[int, str]:
    if "CUDA_VISIBLE_DEVICES" in environ:
        text = environ["CUDA_VISIBLE_DEVICES"].strip()
        return _visible_devices(text), f"CUDA_VISIBLE_DEVICES={text}"
    for name, count in (("SLURM_GPUS_ON_NODE", _counted), ("SLURM_GPUS", _counted), ("SLURM_JOB_GPUS", _listed)):
        text = environ.get(name, "").strip()
        if text:
            return count(name, text), f"{name}={text}"
    driver = root / "proc/driver/nvidia/gpus"
    if driver.is_dir():
        return sum(1 for _ in driver.iterdir()), "/proc/driver/nvidia/gpus"
    return _listed_by_nvidia_smi(environ)


def _visible_devices(text: str) -> int:
    if text in _NO_DEVICES:
        return 0
    names = [name.strip() for name in text.split(",")]
    if "-1" in names:
        names = names[: names.index("-1")]  # CUDA ignores what follows an invalid index
    if not all(_GPU_NAME.fullmatch(name) for name in names):
        allowed = "indices (0,1) or GPU- and MIG- names with commas between them, or -1 for none"
        raise UserError(f"CUDA_VISIBLE_DEVICES={text!r}: must be {allowed}; correct or unset it")
    return len(names)


def _counted(name: str, text: str) -> int:
    """Return the number of GPUs in a count such as 2, a100:2, gpu:a100:2 or a100:1,v100:2."""
    counts = [_GPU_COUNT.fullmatch(part.strip()) for part in text.split(",")]
    if not all(counts):
        raise UserError(f"{name}={text!r}: must be a number of GPUs such as 2 or a100:2; correct or unset it")
    return sum(int(count[1]) for count in counts if count)


def _listed(name: str, text: str) -> int:
    """Return the number of GPUs in a list of indices such as 0,1 or 0-3."""
    ranges = [_GPU_RANGE.fullmatch(part.strip()) for part in text.split(",")]
    if not all(ranges):
        raise UserError(f"{name}={text!r}: must be a list of GPU indices such as 0,1; correct or unset it")
    return sum(int(found[2] or found[1]) - int(found[1]) + 1 for found in ranges if found)


def _listed_by_nvidia_smi(environ: Mapping[str, str]) -> tuple[int, str]:
    command = _nvidia_smi(environ)
    if command is None:
        return 0, "no NVIDIA driver"
    listing = _output([command, "-L"])
    if listing is None:
        return 0, "nvidia-smi -L failed"
    return sum(line.startswith("GPU ") for line in listing.splitlines()), "nvidia-smi -L"


def _gpu_memory(environ: Mapping[str, str]) -> tuple[int, str]:
    """Return the total memory of the first visible GPU; nvidia-smi ignores CUDA_VISIBLE_DEVICES."""
    command = _nvidia_smi(environ)
    if command is None:
        return 0, "no nvidia-smi"
    first = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith("MIG"):
        return 0, f"{first}: nvidia-smi reports the memory of complete GPUs only"
    selection = ["-i", first] if first else []
    mebibytes = _output([command, "--query-gpu=memory.total", "--format=csv,noheader,nounits", *selection]) or ""
    first_line = mebibytes.partition("\n")[0].strip()
    if not first_line.isdecimal():  # "[N/A]" if GPU and CPU share their memory
        return 0, "not reported by nvidia-smi"
    return int(first_line) * 2**20, "nvidia-smi"


def gpu_multiprocessors() -> int | None:
    """Return the multiprocessors of the first visible GPU, from its driver in a separate process; None if unknown."""
    code = (
        "import ctypes; cuda = ctypes.CDLL('libcuda.so.1'); device, count = ctypes.c_int(), ctypes.c_int(); "
        "failed = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0) "
        f"or cuda.cuDeviceGetAttribute(ctypes.byref(count), {MULTIPROCESSOR_COUNT}, device); "
        "print(0 if failed else count.value)"
    )
    printed = _output([sys.executable, "-I", "-S", "-c", code]) or ""
    return int(printed) or None if printed.isdecimal() else None


def _nvidia_smi(environ: Mapping[str, str]) -> str | None:
    return shutil.which("nvidia-smi", path=environ.get("PATH", ""))


# Memory


def memory_available(root: Path = Path("/")) -> int:
    """Return the free memory under the machine's and the cgroups' limits, bytes."""
    return _memory(root)[1][0]


def _memory(root: Path) -> tuple[tuple[int, str], tuple[int, str]]:
    """Return total and available bytes with their sources: the lowest of the machine and its cgroups."""
    meminfo = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    if "MemTotal" not in meminfo:
        total = _memory_outside_linux()
        return total, total  # the standard library cannot read what is free
    free = meminfo.get("MemAvailable") or meminfo.get("MemFree") or "0"
    totals = [(int(meminfo["MemTotal"]) * 1024, "MemTotal")]
    availables = [(int(free) * 1024, "MemAvailable")]
    for limit, used in filter(None, map(_cgroup_memory, _cgroup_folders(root, "memory"))):
        totals.append((limit, "cgroup limit"))
        availables.append((max(0, limit - used), "cgroup limit - use"))
    return min(totals), min(availables)


def _cgroup_memory(folder: Path) -> tuple[int, int] | None:
    """Return limit and use, bytes, of the cgroup at `folder`; None if unlimited."""
    limit, used = _read(folder / "memory.max"), _read(folder / "memory.current")
    if not limit:
        limit, used = _read(folder / "memory.limit_in_bytes"), _read(folder / "memory.usage_in_bytes")
    if not limit.isdecimal():
        return None
    # the use includes the page cache, whose inactive files are freed before a process is killed
    cache = re.search(r"^(?:total_)?inactive_file (\d+)$", _read(folder / "memory.stat"), re.MULTILINE)
    return int(limit), max(0, int(used or 0) - (int(cache[1]) if cache else 0))


def _memory_outside_linux() -> tuple[int, str]:
    sysconf = getattr(os, "sysconf", None)  # Windows lacks it
    if sysconf is None:
        return UNKNOWN_MEMORY_BYTES, "assumed: not reported by this system"
    return sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES"), "sysconf"


# Files and commands


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Return the folders with `controller`'s limits of this process: its cgroup and all parents, v2 and v1."""
    folders: list[Path] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controllers and controller)  # v2 lists no controllers and has one tree
        # a cgroup namespace shows folders outside it as "..": then only the mount point can be read
        own = mount if ".." in path else mount / path.strip("/")
        folders += [folder for folder in (own, *own.parents) if folder.is_relative_to(mount)]
    return folders


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # absent on this kernel, in this container or outside Linux; the caller has another source
        return ""


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
