"""A job's own process: started, watched to its end, ended where that is due, and its end judged."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from omegaconf import DictConfig

from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.formatting import gibibytes
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.provenance import now_utc
from dreamer_exp.rundir.reader import read_tree
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    LOG,
    RUNNING,
    STOP,
    JobRecord,
    ends_at_once,
)
from dreamer_exp.sweeps.slots import POLL_S

# not one that a terminal or SLURM sends to all processes: the same signal twice means "at once" to a run
ASK = signal.SIGUSR1
GRACE_S = 60.0  # for a job that was asked to end: it finishes an update, and writes a checkpoint
SIGNALS = {  # a run's own exit codes
    130: signal.SIGINT,
    138: signal.SIGUSR1,
    140: signal.SIGUSR2,
    143: signal.SIGTERM,
}


@dataclass(frozen=True)
class Limits:
    """What ends a job before its time."""

    seconds: float | None
    memory_bytes: int | None

    @classmethod
    def of(cls, config: DictConfig) -> "Limits":
        """As the group `sweep` says."""
        memory = config.job_memory
        return cls(config.job_timeout, parse_bytes(memory) if isinstance(memory, str) else memory)


def run_process(
    root: Path, job: JobRecord, environment: Mapping[str, str], ray: str | None, limits: Limits
) -> JobRecord:
    """Starts the job's process and watches it; how it ended.

    Args:
        root: the job's directory.
        job: its record so far.
        environment: variables for its process, beside this one's.
        ray: address of the Ray that it shares with others.
        limits: what ends it before its time.
    """
    temporary = tempfile.mkdtemp(prefix="dreamer_exp_job_")
    command = [sys.executable, "-m", "dreamer_exp.sweeps.process", str(root), *([ray] if ray else [])]
    job = JobRecord(job.num, job.name, RUNNING, started_utc=now_utc())
    job.write(root)
    with open(root / LOG, "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # its end tells the process that nobody watches over it any more
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ray's sockets have paths of at most 107 bytes: they stay in the machine's own temporary folder
            env={"RAY_TMPDIR": tempfile.gettempdir(), **os.environ, **environment, "TMPDIR": temporary},
            start_new_session=True,
        )
    try:
        told = _watch(process, root.parent / STOP, limits)
    except Exception as called_off:  # noqa: BLE001  # raised by submitit's handler of SLURM's warning before its limit
        return job.ended(INTERRUPTED, f"{type(called_off).__name__}: {called_off}")
    finally:
        _ask_to_end(process, root.parent / STOP)
        _close(process.stdin)
        shutil.rmtree(temporary, ignore_errors=True)
    return judge(root, job, process.returncode, told)


def _watch(process: "subprocess.Popen[bytes]", stop: Path, limits: Limits) -> str | None:
    """Waits for the process; where it had to be ended, why."""
    began = time.monotonic()
    while process.poll() is None:
        time.sleep(POLL_S)
        if stop.exists():
            _ask_to_end(process, stop)
            return None
        if limits.seconds is not None and time.monotonic() - began > limits.seconds:
            _ask_to_end(process, stop)
            return f"sweep.job_timeout={limits.seconds:g}: it took longer than that, in seconds"
        if limits.memory_bytes is not None and (taken := _memory(process.pid)) > limits.memory_bytes:
            process.kill()
            process.wait()
            return f"sweep.job_memory={gibibytes(limits.memory_bytes)}: its processes took {gibibytes(taken)}"
    return None


def _ask_to_end(process: "subprocess.Popen[bytes]", stop: Path) -> None:
    """A checkpoint, then the end; killed if that takes too long, or the sweep is to end at once."""
    process.send_signal(ASK)
    patience = time.monotonic() + GRACE_S
    while process.poll() is None and time.monotonic() < patience and not ends_at_once(stop):
        time.sleep(POLL_S)
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def _memory(pid: int) -> int:
    """Resident bytes of a process and of those it started."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:  # it has just ended
        return 0


def judge(root: Path, job: JobRecord, code: int, told: str | None) -> JobRecord:
    """How the job ended, by its exit code and by what it wrote."""
    if code == 0:
        return job.ended(FINISHED, None, 0)
    with_the_sweep = (root.parent / STOP).exists() and -code in (ASK, signal.SIGTERM, signal.SIGKILL)
    if told is None and (code in SIGNALS or with_the_sweep):
        _correct_status(root, INTERRUPTED, None)
        how = f"interrupted by {SIGNALS[code].name}" if code in SIGNALS else "stopped with the sweep"
        return job.ended(INTERRUPTED, how, code)
    error = told or _own_words(root, job) or _of_signal(code) or f"exit code {code}: {_last_line(root / LOG)}"
    _correct_status(root, FAILED, error)
    return job.ended(FAILED, error, code)


def _own_words(root: Path, job: JobRecord) -> str | None:
    """The error that the run itself recorded, and no earlier try of it."""
    status = read_tree(RunDirectory(root).status)
    if status.get("state") != FAILED or not status.get("error"):
        return None
    if str(status.get("updated_utc", "")) < str(job.started_utc):
        return None
    return f"{status['error']['type']}: {status['error']['message']}"


def _of_signal(code: int) -> str | None:
    if code >= 0:
        return None
    name = signal.Signals(-code).name
    return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("dreamer_exp: ") if lines else "it said nothing"


def _correct_status(root: Path, state: str, error: str | None) -> None:
    """status.json of a run that could not write its own end."""
    path = RunDirectory(root).status
    status = read_tree(path)
    if status.get("state") == RUNNING:
        told = {"type": "Killed", "message": error} if error else None
        write_json(path, {**status, "state": state, "updated_utc": now_utc(), "error": told})
