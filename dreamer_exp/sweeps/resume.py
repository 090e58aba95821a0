"""`sweep.resume=<sweep's directory>`: the same sweep once more, in which jobs that are finished stay as they are."""

import os
from dataclasses import asdict
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import quoted
from dreamer_exp.rundir.status import is_alive, read_status
from dreamer_exp.sweeps.records import RUNNING, SweepRecord, job_directories

KEY = "sweep.resume="


def words(typed: list[str]) -> list[str]:
    """The command line of the sweep that is gone on with, further words at its end; any other stays as it is.

    Raises:
        UserError: no sweep there, one that is at work, or one whose jobs were chosen on the way.
    """
    asked = [word for word in typed if word.startswith(KEY) and word != f"{KEY}null"]
    if not asked:
        return typed
    root = Path(asked[-1].removeprefix(KEY)).absolute()
    record = SweepRecord.read(root)
    if is_alive(asdict(record)):
        raise UserError(f"{KEY}{root}: that sweep is at work, as process {record.pid}; stop it first.")
    if not record.names:
        raise UserError(f"{KEY}{root}: its sweeper chose its jobs on the way; go on with that sweeper's own storage.")
    refuse_jobs_at_work(root)
    if record.cwd:
        go_to(Path(record.cwd))
    further = [word for word in typed if word not in asked and word not in ("-m", "--multirun")]
    return [*record.words, *further, f"hydra.sweep.dir={quoted(root)}"]


def refuse_second_sweep(root: Path) -> None:
    """Raises UserError for a directory that holds a sweep already: their jobs would mix."""
    if (root / "sweep.json").exists():
        raise UserError(f"hydra.sweep.dir={root} already holds a sweep: name another, or go on with it: {KEY}{root}")


def refuse_jobs_at_work(root: Path) -> None:
    """Raises UserError while a job's process lives: two would write over each other."""
    for _, path in job_directories(root):
        told = read_status(path)
        if told.get("state") == RUNNING and is_alive(told):
            raise UserError(f"{KEY}{root}: {path.name} is still at work, as process {told['pid']}; stop it first.")


def go_to(folder: Path) -> None:
    """Makes the words' relative paths mean what they meant; raises UserError where that folder is gone."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(f"sweep.resume: {folder}, where the sweep was started, cannot be entered: {error}") from error


def refuse_other_jobs(root: Path, names: list[str]) -> None:
    """Raises UserError where the words now make other jobs than the sweep's: their numbers name directories."""
    if names != (before := SweepRecord.read(root).names):
        raise UserError(
            f"{KEY}{root}: these words make {len(names)} jobs that are not its {len(before)}: begin another sweep for "
            "other values; compare takes both."
        )
