"""The files of a sweep: sweep.json tells its jobs how to run, job.json in each job's directory what became of it."""

import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.provenance import now_utc
from dreamer_exp.rundir.reader import read_tree

WAITING, RUNNING, FINISHED, FAILED, INTERRUPTED = "waiting", "running", "finished", "failed", "interrupted"
STOP = "stop"  # a file of this name in the sweep's directory asks every job to write a checkpoint and end
AT_ONCE = "now"  # what it holds where they shall not even do that
REQUEST = "requested.yaml"  # the experiment that a job's process is asked to run, in the format of experiment.yaml
LOG = "console.log"
SLOTS = ".slots"  # folder of the files that jobs lock to run


@dataclass(frozen=True)
class SweepRecord:
    """sweep.json: what a job has to know of its sweep, and what going on with it later needs."""

    words: list[str]  # the command line, with what was decided for it
    names: list[str]  # what sets each job apart, by its number; empty where a sweeper decides that on the way
    slots: int | None  # jobs that share this machine at one time; None: each has a machine of its own
    memory_available_bytes: int = 0  # when the sweep began, for all slots
    cwd: str = ""  # where relative paths among the words begin
    ray_address: str | None = None  # of the Ray that all jobs share
    pid: int = 0
    host: str = ""
    started_utc: str = ""

    @classmethod
    def new(cls, words: list[str], names: list[str], slots: int | None, memory: int = 0) -> "SweepRecord":
        """Of a sweep that this process begins."""
        return cls(words, names, slots, memory, os.getcwd(), None, os.getpid(), socket.gethostname(), now_utc())

    def write(self, root: Path) -> None:
        """Replaces the sweep's sweep.json."""
        write_json(root / "sweep.json", asdict(self))

    @classmethod
    def read(cls, root: Path) -> "SweepRecord":
        """Of the sweep in this directory; raises UserError where there is none."""
        try:
            return cls(**json.loads((root / "sweep.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{root} holds no sweep ({error}); name a folder of multirun/.") from error


@dataclass(frozen=True)
class JobRecord:
    """job.json: one job, as the process that watches over it tells."""

    num: int
    name: str  # what sets it apart from the others: "algo.training_ratio=32 run.seed=1"
    state: str
    error: str | None = None  # the first line
    exit_code: int | None = None  # negative: the signal that ended it
    started_utc: str | None = None
    ended_utc: str | None = None

    def write(self, root: Path) -> None:
        """Replaces the job.json of this directory."""
        write_json(root / "job.json", asdict(self))

    def ended(self, state: str, error: str | None = None, exit_code: int | None = None) -> "JobRecord":
        """The same job at its end."""
        return replace(self, state=state, error=error, exit_code=exit_code, ended_utc=now_utc())


def read_job(root: Path) -> JobRecord | None:
    """The job.json of a directory; None where there is no whole one."""
    tree = read_tree(root / "job.json")
    try:
        return JobRecord(**tree)
    except TypeError:
        return None


def ends_at_once(stop: Path) -> bool:
    """Whether a sweep's stop file says that nothing is waited for."""
    return stop.exists() and stop.read_text(encoding="utf-8") == AT_ONCE


def job_directories(sweep: Path) -> Iterator[tuple[int, Path]]:
    """The number and directory of each job that has begun, in the order of the numbers."""
    found = [(path.name.partition("_")[0], path) for path in sweep.iterdir() if path.is_dir()] if sweep.is_dir() else []
    yield from sorted((int(num), path) for num, path in found if num.isdigit())


def short(name: str) -> str:
    """Overrides without the groups of their keys: training_ratio=32 seed=1."""
    words = re.split(r" (?=[+~]?[A-Za-z_][\w./@]*=)", name)  # at spaces before a key: a quoted value may hold others
    return " ".join(word.partition("=")[0].rpartition(".")[2] + "=" + word.partition("=")[2] for word in words if word)
