"""One job, from the side of the process that watches over it: a process of its own, watched to its end.

The launcher's worker calls this; it imports neither ray nor torch. A crash, an OOM kill or a hang of the job's process
costs this one job.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import psutil
from omegaconf import DictConfig

from dreamer_exp.config import reload
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.memory import parse_bytes
from dreamer_exp.hardware import Machine, probe
from dreamer_exp.runs.directory import RunDirectory, write_json, write_text
from dreamer_exp.runs.forecast import gibibytes
from dreamer_exp.runs.provenance import now_utc
from dreamer_exp.sweeps.plan import load_job
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    LOG,
    REQUEST,
    RUNNING,
    SLOTS,
    STOP,
    WAITING,
    JobRecord,
    SweepRecord,
    ends_at_once,
    read_tree,
)
from dreamer_exp.sweeps.slots import POLL_S, share, slot_environment, take_slot

GRACE_S = 60.0  # for a job that was asked to end: it finishes an update, and writes a checkpoint
SIGNALS = {130: signal.SIGINT, 138: signal.SIGUSR1, 140: signal.SIGUSR2, 143: signal.SIGTERM}  # a run's own exit codes


class JobFailed(Exception):
    """A job of a sweep failed; job.json says how, and the sweep's summary tells it."""


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


def run_job(config: DictConfig, num: int, name: str, root: Path) -> float | None:
    """Runs one job to its end, or finds it finished already; returns its objective.

    Args:
        config: the job's, as composed.
        num: its number.
        name: what sets it apart, if the sweep's record doesn't say: words between commas.
        root: its directory.

    Raises:
        JobFailed: it failed, was stopped, or has no objective to search by; job.json is written.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # in a worker's process, not in the sweep's own
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the sweep says what stops
    record = SweepRecord.read(root.parent)
    job = JobRecord(num, record.names[num] if record.names else re.sub(r",(?=[\w.]+=)", " ", name), WAITING)
    job.write(root)
    stop = root.parent / STOP
    at_once = nullcontext(None if stop.exists() else 0)
    with take_slot(root.parent / SLOTS, record.slots, stop.exists) if record.slots else at_once as slot:
        if slot is None:
            raise JobFailed("stopped before it began")
        machine = probe()
        try:
            experiment = load_job(config, share(machine, record.slots or 1))
        except UserError as error:
            raise _end(root, job.ended(FAILED, str(error), 2)) from error
        if not is_finished(root, experiment):
            write_text(root / REQUEST, experiment.to_yaml())
            environment = {**_slot(machine, record.slots, slot), **_of_shared_ray(record.ray_address)}
            ended = _run(root, job, environment, record.ray_address, Limits.of(config.sweep))
            if ended.state != FINISHED:
                raise _end(root, ended)
            job = ended
        job.ended(FINISHED, None, 0).write(root)
    objective = experiment.run.objective
    value = read_tree(RunDirectory(root).summary).get("final", {}).get(objective)
    if value is None and not record.names:  # a sweeper that searches is at a loss
        raise _end(
            root, job.ended(FAILED, f"run.objective={objective} is null at its end: search by another figure", 0)
        )
    return float(value) if value is not None else None


def is_finished(root: Path, experiment: Experiment) -> bool:
    """Whether this directory holds this very experiment, done; on other hardware is the same, as "auto" follows it."""
    summary = read_tree(RunDirectory(root).summary)
    if summary.get("state") != FINISHED:
        return False
    as_it_was = replace(experiment, hardware=reload.hardware_of(RunDirectory(root).experiment))
    return summary.get("fingerprint") in (experiment.fingerprint(), as_it_was.fingerprint())


def _slot(machine: Machine, slots: int | None, slot: int) -> dict[str, str]:
    """Threads and GPUs of a job that shares its machine with others."""
    return slot_environment(machine, slots, slot, os.environ.get("CUDA_VISIBLE_DEVICES")) if slots else {}


def _of_shared_ray(address: str | None) -> dict[str, str]:
    """A local Ray (2.60) asks for a token, and one that is joined by address looks for it under this mode alone."""
    return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")} if address else {}


def _run(root: Path, job: JobRecord, environment: Mapping[str, str], ray: str | None, limits: Limits) -> JobRecord:
    """Starts the job's process and watches it; how it ended."""
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
            env={**os.environ, **environment, "TMPDIR": temporary},
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
    return _judge(root, job, process.returncode, told)


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
    process.terminate()  # not SIGINT, which a process that has this one's ignored signals would miss while it starts
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


def _judge(root: Path, job: JobRecord, code: int, told: str | None) -> JobRecord:
    """How the job ended, by its exit code and by what it wrote."""
    if code == 0:
        return job.ended(FINISHED, None, 0)
    if told is None and (code in SIGNALS or (code == -signal.SIGTERM and (root.parent / STOP).exists())):
        return job.ended(INTERRUPTED, f"interrupted by {SIGNALS.get(code, signal.SIGTERM).name}", code)
    error = told or _own_words(root) or _of_signal(code) or f"exit code {code}: {_last_line(root / LOG)}"
    _correct_status(root, error)
    return job.ended(FAILED, error, code)


def _own_words(root: Path) -> str | None:
    """The error that the run itself recorded."""
    status = read_tree(RunDirectory(root).status)
    if status.get("state") != FAILED or not status.get("error"):
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


def _correct_status(root: Path, error: str) -> None:
    """status.json of a run that could not write its own end."""
    path = RunDirectory(root).status
    status = read_tree(path)
    if status.get("state") == RUNNING:
        told = {"type": "Killed", "message": error}
        write_json(path, {**status, "state": FAILED, "updated_utc": now_utc(), "error": told})


def _end(root: Path, job: JobRecord) -> JobFailed:
    """Writes a job's bad end; what to raise for it."""
    job.write(root)
    return JobFailed(f"job {job.num} ({job.name}): {job.error}")
