"""The process of a job: start it, watch it, end it if necessary, and record how it ended."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import psutil
from omegaconf import DictConfig

from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.formatting import gibibytes, now_utc
from dreamer_exp.monitoring.summary import record_missing_end
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import killed_by
from dreamer_exp.rundir.reader import last_line, read_tree
from dreamer_exp.rundir.status import write_stop
from dreamer_exp.scratch import JOB_PREFIX, short_temporary_folder
from dreamer_exp.sweeps.losers import LoserWatch
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    LOG,
    RUNNING,
    STOP,
    STOPPED,
    JobRecord,
    ends_at_once,
)
from dreamer_exp.sweeps.slots import POLL_S

# terminals and SLURM do not send it to all processes: the same signal twice means "at once" to a run
END = signal.SIGUSR1
GRACE_S = 60.0  # time for a job to finish an update and write a checkpoint
KILLED = (END, signal.SIGTERM, signal.SIGKILL)  # what ends a process that does not handle END
SIGNALS = {  # by a run's exit code
    129: signal.SIGHUP,
    130: signal.SIGINT,
    138: signal.SIGUSR1,
    140: signal.SIGUSR2,
    143: signal.SIGTERM,
}


@dataclass(frozen=True)
class Limits:
    """Limits that end a job; None for no limit.

    Attributes:
        seconds: wall time of its process.
        memory_bytes: resident memory of all of its processes.
    """

    seconds: float | None
    memory_bytes: int | None

    @classmethod
    def of(cls, config: DictConfig) -> "Limits":
        """Return the limits in the config group `sweep`."""
        memory = config.job_memory
        return cls(config.job_timeout, parse_bytes(memory) if isinstance(memory, str) else memory)


def run_process(  # noqa: PLR0917
    root: Path,
    job: JobRecord,
    environment: Mapping[str, str],
    ray: str | None,
    limits: Limits,
    env: str,
    *,
    losers: LoserWatch | None = None,
) -> JobRecord:
    """Run the job's process to its end; return the record of its end.

    Args:
        root: the job's directory.
        job: its record so far.
        environment: variables of its process in addition to this one's.
        ray: the address of the Ray that the jobs share.
        limits: the limits of the job.
        env: what messages call its environment.
        losers: compares it with the other jobs under `sweep.stop`.
    """
    for_ray = str(short_temporary_folder())
    temporary = tempfile.mkdtemp(prefix=JOB_PREFIX)
    command = [sys.executable, "-m", "dreamer_exp.sweeps.process", str(root), *([ray] if ray else [])]
    job = JobRecord(job.num, job.name, RUNNING, started_utc=now_utc())
    job.write(root)
    with open(root / LOG, "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # closes when this process dies, which ends the job
            stdout=log,
            stderr=subprocess.STDOUT,
            # paths of Ray's sockets are limited to 107 bytes, so they stay in the machine's temporary folder
            env={"RAY_TMPDIR": for_ray, **os.environ, **environment, "TMPDIR": temporary},
            start_new_session=True,
        )
    try:
        end = _watch(process, root.parent / STOP, limits, losers)
    except Exception as warning:  # noqa: BLE001  # submitit raises one when SLURM warns of its time limit
        return job.ended(INTERRUPTED, f"{type(warning).__name__}: {warning}")
    finally:
        _ask_to_end(process, root.parent / STOP)
        _close(process.stdin)
        shutil.rmtree(temporary, ignore_errors=True)
    return end_of(root, job, process.returncode, end.failure, env, stopped=end.stopped)


class End(NamedTuple):
    """Why a job's process had to be ended: as a failure, or by `sweep.stop`; both are None if it had not."""

    failure: str | None = None
    stopped: str | None = None


def _watch(process: "subprocess.Popen[bytes]", stop: Path, limits: Limits, losers: LoserWatch | None) -> End:
    """Wait for the process, and end it if necessary."""
    start = time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_S)
        if stop.exists():
            _ask_to_end(process, stop)
            return End()
        if limits.seconds is not None and time.monotonic() - start > limits.seconds:
            _ask_to_end(process, stop)
            return End(f"sweep.job_timeout={limits.seconds:g}: the job took longer than {limits.seconds:g} s")
        if limits.memory_bytes is not None and (taken := _memory(process.pid)) > limits.memory_bytes:
            _kill(process)
            limit = gibibytes(limits.memory_bytes)
            return End(f"sweep.job_memory={limit}: the job's processes took {gibibytes(taken)}")
        if losers is not None and (worse := losers.check()):
            _ask_to_end(process, stop)
            return End(stopped=worse)
    return End()


def _ask_to_end(process: "subprocess.Popen[bytes]", stop: Path) -> None:
    """Ask for a checkpoint and the end; kill the process after GRACE_S, or if the sweep must end at once."""
    process.send_signal(END)
    deadline = time.monotonic() + GRACE_S
    while process.poll() is None and time.monotonic() < deadline and not ends_at_once(stop):
        time.sleep(POLL_S)
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a job's process and what is left of its session: env runners belong to Ray, simulators to the session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def _memory(pid: int) -> int:
    """Return the resident memory in bytes of a process and its descendants."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:  # the process has just ended
        return 0


def end_of(
    root: Path,
    job: JobRecord,
    code: int,
    reason: str | None,
    env: str = "an environment",
    *,
    stopped: str | None = None,
) -> JobRecord:
    """Return the record of a job's end, and correct its status.json if the process could not write its end.

    Exit code 0 alone is no success: os._exit(0) in an environment ends the process with it too.

    Args:
        root: the job's directory.
        job: its record.
        code: the exit code of its process.
        reason: why the process had to be ended, or None.
        env: what messages call its environment.
        stopped: why `sweep.stop` ended it, or None.
    """
    if code == 0 and _has_finished(root, job):
        return job.ended(FINISHED, None, 0)
    if stopped is not None and (code in SIGNALS or -code in KILLED):
        record_missing_end(root, STOPPED, None)  # of a process that was killed
        write_stop(root, stopped)
        return job.ended(STOPPED, stopped, code)
    by_the_sweep = (root.parent / STOP).exists() and -code in KILLED
    if reason is None and (code in SIGNALS or by_the_sweep):
        record_missing_end(root, INTERRUPTED, None)
        how = f"interrupted by {SIGNALS[code].name}" if code in SIGNALS else "stopped with the sweep"
        return job.ended(INTERRUPTED, how, code)
    error = reason or _recorded_error(root, job) or killed_by(code) or _exit_error(root, code, env)
    record_missing_end(root, FAILED, error)
    return job.ended(FAILED, error, code)


def _recorded_error(root: Path, job: JobRecord) -> str | None:
    """Return the error that the run recorded in this attempt."""
    status = read_tree(RunDirectory(root).status)
    if status.get("state") != FAILED or not status.get("error"):
        return None
    if str(status.get("updated_utc", "")) < str(job.started_utc):
        return None
    return f"{status['error']['type']}: {status['error']['message']}"


def _has_finished(root: Path, job: JobRecord) -> bool:
    """Return whether the run's summary has the state finished, and is not of an earlier attempt."""
    summary = read_tree(RunDirectory(root).summary)
    written = summary.get("updated_utc", job.started_utc)
    return summary.get("state") == FINISHED and str(written) >= str(job.started_utc)


def _exit_error(root: Path, code: int, env: str) -> str:
    if code == 0:
        return f"{env} or one of its libraries ended the process with exit code 0 (os._exit)"
    return f"exit code {code}: {(last_line(root / LOG) or 'no output').removeprefix('dreamer_exp: ')}"
