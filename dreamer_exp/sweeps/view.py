"""The state of a sweep's jobs, read from the files in their directories."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.display import is_number
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.listing import is_after_training
from dreamer_exp.rundir.reader import RunReader, last_row, read_tree
from dreamer_exp.rundir.status import EVALUATING, STARTING, TRAINING
from dreamer_exp.sweeps.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STOPPED,
    WAITING,
    JobRecord,
    job_directories,
    read_job,
)

ACTIVITIES = (TRAINING, EVALUATING, STARTING)  # of a running job
STATES = (*ACTIVITIES, RUNNING, FAILED, INTERRUPTED, STOPPED, FINISHED, WAITING)


@dataclass(frozen=True)
class JobView:
    """State of one job; what is not known yet is None.

    Attributes:
        num: its number.
        name: its overrides.
        state: that of its job.json.
        root: its directory.
        error: the first line of its error, or why it was stopped.
        env_steps: env steps so far.
        updates: updates so far.
        episode_return: mean return of the last training episodes (rundir.metric_names.WINDOW).
        success_rate: success rate of these episodes.
        wall_time_s: wall time of the run (monitoring.counters.Counters.seconds).
        seconds_left: remaining time at the pace so far.
        activity: one of ACTIVITIES while it is running.
        evaluated_return: mean return in the last evaluation after some training.
        evaluated_success: success rate in that evaluation.
    """

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
    activity: str | None = None
    evaluated_return: float | None = None
    evaluated_success: float | None = None

    @property
    def shown(self) -> str:
        """The state, of a running job what it does."""
        return self.activity or self.state


def read_views(sweep: Path, names: list[str], iterations: list[int]) -> list[JobView]:
    """Return a view of every job, started or not.

    Args:
        sweep: the sweep's directory.
        names: the overrides of the jobs, by their numbers; if empty, only started jobs are known.
        iterations: the iterations of each job, in the same order.
    """
    started = dict(job_directories(sweep))
    views = []
    for num in sorted({*range(len(names)), *started}):
        name = names[num] if num < len(names) else ""
        total = iterations[num] if num < len(iterations) else None
        job = read_job(started[num]) if num in started else None
        if job is None or job.state == WAITING:
            views.append(JobView(num, job.name if job else name, WAITING, started.get(num)))
        else:
            views.append(_view(job, started[num], total))
    return views


def _view(job: JobRecord, root: Path, total: int | None) -> JobView:
    """Return the view of a started job."""
    directory = RunDirectory(root)
    status, summary = read_tree(directory.status), read_tree(directory.summary)
    if job.state == RUNNING and job.started_utc and not _since(status, job.started_utc):
        status = {}  # of an earlier attempt
    final = summary.get("final") if job.state != RUNNING else None
    row = (final if isinstance(final, dict) else None) or last_row(directory.result) or {}
    evaluation = RunReader().last_row(directory.evaluation, is_after_training) or {}
    return JobView(
        num=job.num,
        name=job.name,
        state=job.state,
        root=root,
        error=job.error,
        env_steps=_integer(status, "env_steps"),
        updates=_integer(status, "updates"),
        episode_return=_number(row, "episode_return_window"),
        success_rate=_number(row, "success_rate_window"),
        wall_time_s=_number(status, "wall_time_s"),
        seconds_left=_seconds_left(status, total) if job.state == RUNNING else None,
        activity=_activity(status) if job.state == RUNNING else None,
        evaluated_return=_number(evaluation, "return_mean"),
        evaluated_success=_number(evaluation, "success_rate"),
    )


def _number(tree: dict[str, Any], key: str) -> float | None:
    """Return a number of a file; None for anything else, so that one damaged job does not end the sweep."""
    value = tree.get(key)
    return value if is_number(value) else None


def _integer(tree: dict[str, Any], key: str) -> int | None:
    value = _number(tree, key)
    return None if value is None else int(value)


def _activity(status: dict[str, Any]) -> str | None:
    """Return what a running job does; before its first status.json it is starting."""
    activity = status.get("activity") if status else STARTING
    return activity if activity in ACTIVITIES else None


def _since(status: dict[str, Any], start: str) -> bool:
    return str(status.get("updated_utc", "")) >= start


def _seconds_left(status: dict[str, Any], total: int | None) -> float | None:
    """Return the remaining time at the pace so far, by the iteration in status.json, which is seconds old at most."""
    done, taken = _number(status, "iteration"), _number(status, "wall_time_s")
    if not done or taken is None or total is None:
        return None
    return float(taken / done * max(0, total - done))
