"""`sweep.jobs_per_gpu`: how many jobs share a GPU, and NVIDIA MPS, with which their kernels run at the same time.

Without MPS, a GPU runs the jobs' kernels in turns. With it, each job gets a part of the multiprocessors. The persistent
kernels of `algo.backend=fused` need all of their programs on the GPU at the same time, so a job's part has to hold
them: they are chosen for the multiprocessors that the job sees, and their cooperative launch fails rather than hang.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import AUTO
from dreamer_exp.environment_variables import environment_variables
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import Machine, gpu_multiprocessors

KEY = "sweep.jobs_per_gpu"
MOST_AUTO = 4
ROOM = 0.9  # of a GPU's memory that the jobs may take
CONTROL = "nvidia-cuda-mps-control"
PIPE, LOG, SHARE = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"
OF_THE_MACHINE = Path("/tmp/nvidia-mps")  # of a daemon that an administrator started
START_S, PROBE_S = 10.0, 20.0

# creates a context on the first GPU and prints its multiprocessors, without torch
PROBE = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
device, context, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
calls = (
    lambda: cuda.cuInit(0),
    lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
    lambda: cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device),
    lambda: cuda.cuDeviceGetAttribute(ctypes.byref(count), 16, device),
)
for call in calls:
    if code := call():
        raise SystemExit(f"CUDA error {code}")
print(count.value)
"""


@dataclass(frozen=True)
class GpuNeed:
    """What a job needs of its GPU.

    Attributes:
        memory_bytes: for network, update and a replay there.
        multiprocessors: for the programs of its persistent kernels; None if it has none or they are unknown.
        learners: learner processes.
    """

    memory_bytes: int
    multiprocessors: int | None
    learners: int


@dataclass(frozen=True)
class GpuSharing:
    """How jobs share a GPU.

    Attributes:
        jobs: on one GPU at a time.
        why: where the number is from.
    """

    jobs: int = 1
    why: str = ""


def share_gpus(wanted: int | str, needs: Sequence[GpuNeed], machine: Machine) -> GpuSharing:
    """Return how many jobs share a GPU of this machine.

    Args:
        wanted: `sweep.jobs_per_gpu`.
        needs: of the jobs; empty if none uses a GPU.
        machine: the complete machine.

    Raises:
        UserError: so many do not fit into the GPU's memory, or they have learner processes.
    """
    if not needs or not machine.gpus or wanted == 1:
        return GpuSharing()
    memory, learners = max(need.memory_bytes for need in needs), max(need.learners for need in needs)
    room = int(ROOM * machine.gpu_memory_bytes)
    if wanted != AUTO:
        jobs = int(wanted)
        if learners:
            raise UserError(f"{KEY}={jobs}: learner processes take complete GPUs; use hardware.num_learners=0.")
        if room and jobs * memory > room:
            raise UserError(
                f"{KEY}={jobs}: each job needs about {gibibytes(memory)} of a GPU, which has "
                f"{gibibytes(machine.gpu_memory_bytes)}; at most {max(1, room // memory)} fit."
            )
        return GpuSharing(jobs, "as set")
    if learners or not room:
        return GpuSharing(1, "auto: learner processes take complete GPUs" if learners else "auto: memory unknown")
    by_memory = room // memory
    found, used = gpu_multiprocessors(), [need.multiprocessors for need in needs if need.multiprocessors]
    by_kernels = found // max(used) if found and used else MOST_AUTO
    text = f"auto: {by_memory} by memory"
    text += f", {by_kernels} by {max(used)} of {found} multiprocessors each" if found and used else ""
    return GpuSharing(max(1, min(by_memory, by_kernels, MOST_AUTO)), f"{text}, at most {MOST_AUTO}")


@contextmanager
def mps(sharing: GpuSharing) -> Iterator[str]:
    """Have the jobs that are started within the block share their GPU by MPS, if its daemon runs or can be started.

    Yields:
        How they share it, as text; empty if a GPU has one job.
    """
    if sharing.jobs == 1:
        yield ""
        return
    percentage = str(100 // sharing.jobs)
    if os.environ.get(PIPE) or (OF_THE_MACHINE / "control").exists():
        with environment_variables({SHARE: percentage}):
            yield f"by the machine's MPS daemon, {percentage} % of the multiprocessors each"
        return
    if shutil.which(CONTROL) is None:
        yield f"in turns ({CONTROL} is not installed)"
        return
    folder = Path(tempfile.mkdtemp(prefix="dexp_mps_"))
    variables = {PIPE: str(folder / "pipe"), LOG: str(folder / "log"), SHARE: percentage}
    for name in (PIPE, LOG):
        Path(variables[name]).mkdir()
    try:
        if problem := _start(variables):
            yield f"in turns (MPS cannot run: {problem})"
            return
        seen = probe(variables)
        if not seen.isdecimal():
            _quit(variables)
            yield f"in turns (MPS cannot run: {seen})"
            return
        with environment_variables(variables):
            yield f"by MPS, {percentage} % of the multiprocessors each ({seen})"
    finally:
        _quit(variables)
        shutil.rmtree(folder, ignore_errors=True)


def probe(variables: dict[str, str]) -> str:
    """Return the multiprocessors that a job sees with these variables, or why CUDA cannot be used with them."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PROBE], env={**os.environ, **variables}, capture_output=True, text=True,
            timeout=PROBE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {PROBE_S:g} s"
    return done.stdout.strip() if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


def _start(variables: dict[str, str]) -> str:
    """Start the daemon; return why it did not start, or an empty text."""
    # it numbers the GPUs that it sees, so it has to see all for CUDA_VISIBLE_DEVICES to keep its meaning
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    try:
        done = subprocess.run(
            [CONTROL, "-d"], env={**environment, **variables}, capture_output=True, text=True, timeout=START_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip().partition("\n")[0] or "no message"


def _quit(variables: dict[str, str]) -> None:
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [CONTROL], input="quit -t 5\n", env={**os.environ, **variables}, capture_output=True, text=True,
            timeout=START_S, check=False,
        )  # fmt: skip
