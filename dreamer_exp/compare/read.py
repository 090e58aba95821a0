"""Reading of run directories, whatever is wrong with their files, and of sweep jobs that never became a run.

Missing, truncated or foreign content becomes a line in `faults`, never an exception.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.compare.model import Run
from dreamer_exp.rundir.formats import format_fault
from dreamer_exp.rundir.layout import EVALUATION, RunDirectory
from dreamer_exp.rundir.migration import migrate
from dreamer_exp.rundir.reader import RunReader, read_tree
from dreamer_exp.rundir.status import error_of, state_of

STEPS, SECONDS = "env_steps", "time/total_s"  # the two x axes of curves
EPISODES = "episodes_total"  # limits the episodes of a *_window metric
# files that a sweep adds to a job's folder: the job's record, the requested experiment, the job's output
JOB, REQUEST, CONSOLE = "job.json", "requested.yaml", "console.log"
MANY = 60  # runs, from which on a pool of processes is faster
MAX_PROCESSES = 8
MAX_ERROR = 200  # characters

Table = dict[str, np.ndarray]
"""Columns of result.jsonl, float64 [rows] each."""


def read_runs(named: Sequence[tuple[Path, str]], columns: Collection[str] | None = None) -> Iterator[Run]:
    """Read the runs in these directories with `read_run`; a pool of processes starts at once if there are many."""
    read = partial(_read_any, columns=columns)
    processes = min(os.cpu_count() or 1, MAX_PROCESSES)
    if len(named) < MANY or processes == 1:
        return map(read, named)
    pool = ProcessPoolExecutor(processes)
    runs = pool.map(read, named, chunksize=8)
    pool.shutdown(wait=False)  # ends when all runs are read
    return runs


def read_run(root: Path, name: str, columns: Collection[str] | None = None) -> Run:
    """Read the run in a directory.

    Args:
        root: The run directory.
        name: Name of the run in the comparison.
        columns: Columns of result.jsonl to keep in addition to env steps, seconds and episodes; None: all.
    """
    files, reader = RunDirectory(root), RunReader()
    job = reader.tree(root / JOB) if (root / JOB).exists() else {}
    if not files.experiment.exists() and not files.status.exists():
        return _read_job(root, name, job)
    status, config = reader.tree(files.status), flatten(reader.tree(files.experiment))
    rows, names = read_table(reader, files.result, columns)
    evaluations = reader.rows(files.evaluation) if files.evaluation.exists() else ()  # optional
    return Run(
        root=root,
        name=name,
        state=_state(status, job),
        error=error_of(status) or _text(job.get("error")),
        config=_without_fingerprint(config),
        provenance=reader.tree(files.provenance),
        rows=rows,
        evaluations=tuple(_known_evaluations(reader, evaluations)),
        faults=tuple(reader.faults),
        columns=names,
        job=job,
    )


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves by dotted key: {"algo": {"horizon_H": 15}} -> {"algo.horizon_H": 15}."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def read_table(reader: RunReader, path: Path, columns: Collection[str] | None) -> tuple[Table, tuple[str, ...]]:
    """Read the rows of a .jsonl file by column, and the names of all columns.

    NaN means null and for values that are not numbers. The names are those of the first and of the last row: a run
    that was resumed by a later version may have more columns there.
    """
    rows: Iterable[dict[str, Any]] = reader.rows(path)
    if columns is None:
        rows = list(rows)
        columns = tuple(dict.fromkeys(key for row in (*rows[:1], *rows[-1:]) for key in row))
    kept = tuple(dict.fromkeys((STEPS, SECONDS, EPISODES, *columns)))
    first: dict[str, Any] = {}
    last, values = first, []
    for last in rows:
        first = first or last
        values.append(tuple(map(last.get, kept)))
    names = tuple(dict.fromkeys((*first, *last)))
    table, odd = _numbers(kept, values)
    if odd:
        reader.faults.append(f"{path.name}: not always a number: {', '.join(odd)}")
    return {name: column for name, column in table.items() if name in (STEPS, SECONDS, *names)}, names


def _read_any(named: tuple[Path, str], columns: Collection[str] | None) -> Run:
    """Read a run; if reading its directory fails unexpectedly, return a run with that fault alone."""
    try:
        return read_run(*named, columns)
    except Exception as error:  # noqa: BLE001  # reported as the run's fault: one folder must not stop the others
        return Run(
            *named,
            state="unknown",
            error=None,
            config={},
            provenance={},
            rows=_no_rows(),
            evaluations=(),
            faults=(f"cannot be read ({type(error).__name__}: {str(error)[:MAX_ERROR]})",),
        )


def _read_job(root: Path, name: str, job: dict[str, Any]) -> Run:
    """Read a sweep's job that waits, or failed before its run began: the requested experiment and the last output."""
    request, console = root / REQUEST, root / CONSOLE
    lines = console.read_text(encoding="utf-8", errors="replace").split("\n") if console.is_file() else []
    output = [line.strip() for line in lines if line.strip()]
    state = _text(job.get("state")) or ("failed" if output else "waiting")
    error = _text(job.get("error")) or (output[-1] if state == "failed" and output else None)
    return Run(
        root=root,
        name=name,
        state="not started" if state == "waiting" else state,
        error=error,
        config=_without_fingerprint(flatten(read_tree(request))),
        provenance={},
        rows=_no_rows(),
        evaluations=(),
        faults=("the run was not started: experiment.yaml is missing",),
        job=job,
    )


def _numbers(names: Sequence[str], values: list[tuple[Any, ...]]) -> tuple[Table, list[str]]:
    """Return columns of numbers, with NaN for other values, and the names of the columns that have some."""
    odd: list[str] = []
    try:
        table = np.array(values, dtype=np.float64)  # None becomes NaN
    except (ValueError, TypeError, OverflowError):
        numbers = [[value if isinstance(value, (int, float)) else None for value in row] for row in values]
        table = np.array(numbers, dtype=np.float64)
        odd = [name for name, column in zip(names, zip(*values, strict=True), strict=True) if _is_odd(column)]
    return dict(zip(names, table.reshape(-1, len(names)).T.copy(), strict=True)), odd


def _no_rows() -> Table:
    return {STEPS: np.array([]), SECONDS: np.array([])}


def _known_evaluations(reader: RunReader, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the evaluations in their current format; rows of an unknown format are one fault and left out."""
    faults: set[str] = set()
    for row in rows:
        if fault := format_fault(EVALUATION, row):
            faults.add(fault)
        elif isinstance(row.get("policy"), str):
            yield _count_outcomes(migrate(EVALUATION, row))
    reader.faults.extend(f"{EVALUATION}: {fault}" for fault in sorted(faults))


def _count_outcomes(row: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation's row with `outcome_counts` and `scenario_counts` in place of its episodes."""
    episodes = row.pop("outcomes", None)
    for name in ("outcome_counts", "scenario_counts", "by_scenario"):
        row.pop(name, None)
    if isinstance(episodes, list):
        known = [episode for episode in episodes if isinstance(episode, dict)]
        row["outcome_counts"] = dict(Counter(one["outcome"] for one in known if isinstance(one.get("outcome"), str)))
        row["scenario_counts"] = _count_scenarios(known)
    return row


def _count_scenarios(episodes: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the number of each outcome by scenario, over the episodes that have both."""
    counts: dict[str, Counter[str]] = {}
    for episode in episodes:
        scenario, outcome = episode.get("scenario"), episode.get("outcome")
        if isinstance(scenario, str) and isinstance(outcome, str):
            counts.setdefault(scenario, Counter())[outcome] += 1
    return {scenario: dict(outcomes) for scenario, outcomes in counts.items()}


def _state(status: dict[str, Any], job: dict[str, Any]) -> str:
    """Return the state of status.json, or failed for an unfinished run whose sweep recorded a failure."""
    state = state_of(status)
    return "failed" if job.get("state") == "failed" and state in ("dead", "interrupted") else state


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_fingerprint(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("fingerprint", "format")}


def _is_odd(values: Iterable[Any]) -> bool:
    return any(not isinstance(value, (int, float, type(None))) for value in values)
