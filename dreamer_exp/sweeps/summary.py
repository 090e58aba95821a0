"""The end of a sweep: sweep_summary.json and .csv, the table of its jobs, and each failure with its log."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.config.command_words import pasteable, path_word
from dreamer_exp.formatting import csv_text, now_utc, printable
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.sweeps.records import FAILED, FINISHED, LOG, STOPPED, SweepRecord, short
from dreamer_exp.sweeps.search import best_trial
from dreamer_exp.sweeps.table import counts, job_table
from dreamer_exp.sweeps.view import JobView

NAME = "sweep_summary"


def write_summary(sweep: Path, record: SweepRecord, views: list[JobView], planned: int = 0) -> None:
    """Replace sweep_summary.json and sweep_summary.csv, with one row for each job.

    Args:
        sweep: the sweep's directory.
        record: its record.
        views: its jobs.
        planned: env steps of all jobs, if none is stopped; 0 if unknown.
    """
    rows = [_row(sweep, view) for view in views]
    tree = {
        "sweep": sweep.name,
        "words": record.words,
        "started_utc": record.started_utc,
        "ended_utc": now_utc(),
        "slots": record.slots,
        "states": {view.state: sum(other.state == view.state for other in views) for view in views},
        "env_steps": _env_steps(views),
        "env_steps_planned": planned or None,
        "jobs": rows,
    }
    write_json(sweep / f"{NAME}.json", tree)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]) if rows else ["num"], lineterminator="\n")
    table.writeheader()
    table.writerows(
        {key: csv_text(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows
    )
    write_text(sweep / f"{NAME}.csv", text.getvalue())


def _env_steps(views: list[JobView]) -> int:
    return sum(view.env_steps or 0 for view in views)


def _row(sweep: Path, view: JobView) -> dict[str, Any]:
    row = asdict(view)
    del row["root"], row["seconds_left"], row["activity"]
    return {**row, "directory": None if view.root is None else view.root.relative_to(sweep).as_posix()}


def show_summary(console: Console, sweep: Path, record: SweepRecord, views: list[JobView], planned: int = 0) -> None:
    """Print the table of all jobs, why each was stopped or failed, and the next commands; `planned` as above."""
    console.print(job_table(views, ended=True))
    console.print(counts(views, None))
    for view in views:
        if view.state == STOPPED:
            _print(console, f"job {view.num} ({short(view.name)}) stopped: {view.error}")
        if view.state == FAILED:
            _print(console, f"job {view.num} ({short(view.name)}) failed: {view.error}")
            _print(console, f"  {view.root}/{LOG}")
    if planned and any(view.state == STOPPED for view in views):
        steps = _env_steps(views)
        _print(console, f"Env steps: {steps:,} of {planned:,} ({steps / planned:.0%}), as sweep.stop ended jobs early")
    if best := best_trial(sweep):
        _print(console, best)
    _print(console, f"Sweep: {sweep}")
    if any(view.state == FINISHED for view in views):
        _print(console, f"Compare: {pasteable('compare', sweep)}")
    resume = path_word("sweep.resume", sweep)
    if record.names and any(view.state not in (FINISHED, STOPPED) for view in views):
        _print(console, f"Resume: {pasteable(resume)}")
    if record.names and any(view.state == STOPPED for view in views):
        _print(console, f"Train the stopped jobs to their end: {pasteable(resume, 'sweep.stop=none')}")


def _print(console: Console, text: str) -> None:
    """Print a line without wrapping, so that a path in it can be copied."""
    console.print(printable(text), soft_wrap=True, markup=False, highlight=False)
