"""The files of a sweep: sweep.json describes how its jobs run, job.json in each job's directory how the job ended."""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import now_utc
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.display import displayed_mapping
from dreamer_exp.rundir.parse import Unparsable, build_record
from dreamer_exp.rundir.processes import own_start
from dreamer_exp.rundir.reader import RunReader, read_tree

WAITING, RUNNING, FINISHED, FAILED, INTERRUPTED = "waiting", "running", "finished", "failed", "interrupted"
STOPPED = "stopped"  # by sweep.stop: worse than the other jobs
STATES = (WAITING, RUNNING, FINISHED, STOPPED, FAILED, INTERRUPTED)
SWEEP = "sweep.json"
STOP = "stop"  # file in the sweep's directory that asks every job to write a checkpoint and end
AT_ONCE = "now"  # content of that file if the jobs must end without a checkpoint
REQUEST = "requested.yaml"  # experiment of a job's process, in the format of experiment.yaml
LOG = "console.log"
SLOTS = ".slots"  # folder of the lock files of running jobs


@dataclass(frozen=True)
class SweepRecord:
    """sweep.json: what the jobs and a resume need to know.

    Attributes:
        words: the command line for Hydra, with what was decided for it.
        names: the overrides of each job, by its number; empty if a sweeper chooses the jobs during the sweep.
        slots: jobs that share this machine at a time; None if each has a separate machine.
        memory_available_bytes: free memory for all slots when the sweep started.
        cwd: the folder of relative paths in `words`.
        ray_address: the address of the Ray that all jobs share.
        pid: the sweep's process.
        host: the machine of that process.
        started_utc: the start of the sweep.
        process_started: when that process was created, in seconds since 1970.
    """

    words: list[str]
    names: list[str]
    slots: int | None
    memory_available_bytes: int = 0
    cwd: str = ""
    ray_address: str | None = None
    pid: int = 0
    host: str = ""
    started_utc: str = ""
    process_started: float | None = None

    @classmethod
    def new(cls, words: list[str], names: list[str], slots: int | None, memory: int = 0) -> "SweepRecord":
        """Return the record of a sweep that this process starts."""
        pid, host = os.getpid(), socket.gethostname()
        return cls(words, names, slots, memory, os.getcwd(), None, pid, host, now_utc(), own_start())

    def write(self, root: Path) -> None:
        """Replace sweep.json."""
        write_json(root / SWEEP, asdict(self))

    @classmethod
    def read(cls, root: Path) -> "SweepRecord":
        """Return the record of the sweep in a directory; raise UserError if there is none."""
        reader = RunReader()
        tree = reader.tree(root / SWEEP)
        try:
            if not reader.faults:
                return build_record(cls, tree)
        except Unparsable as error:
            reader.faults.append(str(error))
        raise UserError(f"{root} holds no sweep ({reader.faults[0]}); name a folder of multirun/.")


@dataclass(frozen=True)
class JobRecord:
    """job.json: one job, written by the process that watches it.

    Attributes:
        num: its number in the sweep.
        name: its overrides: "algo.training_ratio=32 run.seed=1".
        state: one of STATES.
        error: the first line of its error, or why it was stopped.
        exit_code: of its process; negative for the signal that killed it.
        started_utc: the start of its process.
        ended_utc: the end of its process.
    """

    num: int
    name: str
    state: str
    error: str | None = None
    exit_code: int | None = None
    started_utc: str | None = None
    ended_utc: str | None = None

    def write(self, root: Path) -> None:
        """Replace job.json in a job's directory."""
        write_json(root / "job.json", asdict(self))

    def ended(self, state: str, error: str | None = None, exit_code: int | None = None) -> "JobRecord":
        """Return the record of the same job at its end."""
        return replace(self, state=state, error=error, exit_code=exit_code, ended_utc=now_utc())


def read_job(root: Path) -> JobRecord | None:
    """Return the job.json of a directory; None if it is missing or damaged."""
    try:
        job = build_record(JobRecord, displayed_mapping(read_tree(root / "job.json")))
    except Unparsable:
        return None
    return job if job.state in STATES else None


def ends_at_once(stop: Path) -> bool:
    """Return whether a stop file asks the jobs to end without a checkpoint."""
    return stop.exists() and stop.read_text(encoding="utf-8") == AT_ONCE


def job_directories(sweep: Path) -> Iterator[tuple[int, Path]]:
    """Yield number and directory of each started job, in the order of the numbers."""
    found = [(path.name.partition("_")[0], path) for path in sweep.iterdir() if path.is_dir()] if sweep.is_dir() else []
    yield from sorted((int(num), path) for num, path in found if num.isdecimal())


def short(name: str) -> str:
    """Return overrides without the groups of their keys: training_ratio=32 seed=1."""
    words = re.split(r" (?=[+~]?[A-Za-z_][\w./@]*=)", name)  # at spaces before a key; quoted values may contain spaces
    return " ".join(word.partition("=")[0].rpartition(".")[2] + "=" + word.partition("=")[2] for word in words if word)
