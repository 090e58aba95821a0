"""Resuming a sweep with `sweep.resume=SWEEP`: the same command line again, without the finished jobs."""

import os
from pathlib import Path

from dreamer_exp.checkpoints.resume.prepare import refuse_foreign
from dreamer_exp.config.command_words import is_dry_run, pasteable, path_value, path_word, quoted
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.status import refuse_running
from dreamer_exp.sweeps.records import SWEEP, SweepRecord, job_directories

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
    key = f"{KEY}{root}"
    if root.is_dir():  # reading reports any other
        lock.take(root, lock.SWEEPS, key, dry_run=is_dry_run(typed) or not (root / SWEEP).is_file())
    record = SweepRecord.read(root)
    for folder in (root, *(path for _, path in job_directories(root))):
        refuse_foreign(folder, "trust=true" in typed, key)
    if not record.names:
        raise UserError(f"{KEY}{root}: its sweeper chose its jobs; resume it with the sweeper's storage.")
    refuse_running_jobs(root)
    if record.cwd:
        enter(Path(record.cwd))
    further = [word for word in typed if word not in resumes and word not in ("-m", "--multirun")]
    return [*record.words, *further, f"hydra.sweep.dir={quoted(root)}"]


def refuse_second_sweep(root: Path) -> None:
    """Raise UserError for a directory that holds a sweep already: their jobs would mix."""
    if (root / SWEEP).exists():
        resume = pasteable(path_word("sweep.resume", root))
        raise UserError(f"hydra.sweep.dir={root} already holds a sweep: name another, or resume it: {resume}")


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
