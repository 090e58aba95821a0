"""Resuming a sweep with `sweep.resume=SWEEP`: the same command line again, without the finished jobs."""

import os
from pathlib import Path

from dreamer_exp.config.command_words import pasteable, path_value, path_word, quoted
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.status import refuse_running
from dreamer_exp.sweeps.records import SweepRecord, job_directories

KEY = "sweep.resume="


def command_line(typed: list[str]) -> list[str]:
    """Return the command line of the sweep to resume, followed by the other words; unchanged without `sweep.resume`.

    The lock of the sweep's directory is taken, except for a dry run.

    Raises:
        UserError: the directory holds no sweep, the sweep or a job of it is running, or a sweeper chose its jobs.
    """
    resumes = [word for word in typed if word.startswith(KEY) and word != f"{KEY}null"]
    if not resumes:
        return typed
    root = path_value(resumes[-1]).absolute()
    take_lock(root, f"{KEY}{root}", dry_run="dry_run=true" in typed)
    record = SweepRecord.read(root)
    if not record.names:
        raise UserError(f"{KEY}{root}: its sweeper chose its jobs; resume it with the sweeper's storage.")
    refuse_running_jobs(root)
    if record.cwd:
        enter(Path(record.cwd))
    further = [word for word in typed if word not in resumes and word not in ("-m", "--multirun")]
    return [*record.words, *further, f"hydra.sweep.dir={quoted(root)}"]


def refuse_second_sweep(root: Path) -> None:
    """Raise UserError for a directory that holds a sweep already: their jobs would mix."""
    if (root / "sweep.json").exists():
        resume = pasteable(path_word("sweep.resume", root))
        raise UserError(f"hydra.sweep.dir={root} already holds a sweep: name another, or resume it: {resume}")


def take_lock(root: Path, key: str, dry_run: bool) -> None:
    """Take the lock of a sweep's directory for the life of this process; a dry run only checks it.

    Raises:
        UserError: another process has it.
    """
    if dry_run:
        lock.refuse_held(root, key)
    elif root.is_dir():
        lock.hold(root, lock.SWEEPS, key)


def refuse_running_jobs(root: Path) -> None:
    """Raise UserError while a job's process is running: two would overwrite each other's files."""
    for _, path in job_directories(root):
        key = f"{KEY}{root}: {path.name}"
        lock.refuse_held(path, key)
        refuse_running(path, key)


def enter(folder: Path) -> None:
    """Change to the folder of the words' relative paths; raise UserError if that is not possible."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(f"sweep.resume: cannot change to {folder}, where the sweep was started: {error}") from error


def refuse_other_jobs(root: Path, names: list[str]) -> None:
    """Raise UserError if the words make other jobs than the sweep has: their numbers name directories."""
    if names != (before := SweepRecord.read(root).names):
        raise UserError(
            f"{KEY}{root}: these words make {len(names)} jobs that differ from its {len(before)}: start another sweep "
            "for other values; compare reads both."
        )
