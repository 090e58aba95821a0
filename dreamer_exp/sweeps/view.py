"""What can be seen of a sweep while it runs and after: one view a job, read from the files of its directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import last_row, read_tree
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    WAITING,
    JobRecord,
    job_directories,
    read_job,
)

STATES = (RUNNING, FAILED, INTERRUPTED, FINISHED, WAITING)


@dataclass(frozen=True)
class JobView:
    """One job as its files tell it; what isn't known yet is None."""

    num: int
    name: str
    state: str
    root: Path | None = None
    error: str | None = None
    env_steps: int | None = None
    updates: int | None = None
    episode_return: float | None = None
    success_rate: float | None = None
    wall_time_s: float | None = None
    seconds_left: float | None = None


def look(sweep: Path, names: list[str], iterations: list[int]) -> list[JobView]:
    """Every job, those that haven't begun too.

    Args:
        sweep: the sweep's directory.
        names: of the jobs, by their numbers; empty: only those that have begun are known.
        iterations: that each job has to do, in the same order.
    """
    begun = dict(job_directories(sweep))
    views = []
    for num in sorted({*range(len(names)), *begun}):
        name = names[num] if num < len(names) else ""
        total = iterations[num] if num < len(iterations) else None
        job = read_job(begun[num]) if num in begun else None
        if job is None or job.state == WAITING:
            views.append(JobView(num, job.name if job else name, WAITING, begun.get(num)))
        else:
            views.append(_view(job, begun[num], total))
    return views


def _view(job: JobRecord, root: Path, total: int | None) -> JobView:
    """A job that has begun."""
    directory = RunDirectory(root)
    status, summary = read_tree(directory.status), read_tree(directory.summary)
    if job.state == RUNNING and job.started_utc and not _since(status, job.started_utc):
        status = {}  # of an earlier try
    figures = summary.get("final") if job.state != RUNNING else None
    row = figures or last_row(directory.result) or {}
    return JobView(
        num=job.num,
        name=job.name,
        state=job.state,
        root=root,
        error=job.error,
        env_steps=status.get("env_steps"),
        updates=status.get("updates"),
        episode_return=_first(row, "return_mean", "episode_return_window"),
        success_rate=_first(row, "success_rate", "success_rate_window"),
        wall_time_s=status.get("wall_time_s"),
        seconds_left=_seconds_left(status, total) if job.state == RUNNING else None,
    )


def _since(status: dict[str, Any], began: str) -> bool:
    return str(status.get("updated_utc", "")) >= began


def _first(row: dict[str, Any], *names: str) -> float | None:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _seconds_left(status: dict[str, Any], total: int | None) -> float | None:
    """By the pace so far; from status.json's iteration, which is at most seconds old."""
    done, taken = status.get("iteration"), status.get("wall_time_s")
    if not done or taken is None or total is None:
        return None
    return float(taken / done * max(0, total - done))
