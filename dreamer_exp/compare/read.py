"""Reading of run directories, whatever is wrong with their files, and of sweep jobs that never became a run.

Missing, truncated or foreign content becomes a line in `faults`, never an exception.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.compare.model import Run
from dreamer_exp.formatting import MAX_TEXT, printable, shortened
from dreamer_exp.rundir.display import MAX_NUMBER, displayed, displayed_mapping, is_number
from dreamer_exp.rundir.edits import Edits, hand_edits
from dreamer_exp.rundir.formats import format_fault
from dreamer_exp.rundir.layout import EVALUATION, RUN_FILES, RunDirectory
from dreamer_exp.rundir.metric_names import BASELINE, TRAINED, is_trained
from dreamer_exp.rundir.migration import migrate
from dreamer_exp.rundir.parse import leaves
from dreamer_exp.rundir.reader import RunReader, last_line, read_tree
from dreamer_exp.rundir.status import error_of, state_of

STEPS, SECONDS = "env_steps", "time/total_s"  # the two x axes of curves
EPISODES = "episodes_total"  # limits the episodes of a *_window metric
# files that a sweep adds to a job's folder: the job's record, the requested experiment, the job's output
JOB, REQUEST, CONSOLE = "job.json", "requested.yaml", "console.log"
MANY = 60  # runs, from which on a pool of processes is faster
MAX_PROCESSES = 8
MAX_EVALUATIONS = 5000  # rows of evaluation.jsonl
MAX_SCENARIOS = 1000  # of one evaluation
MAX_FORMATS = 3  # unknown ones that are named

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
    job = displayed_mapping(reader.tree(root / JOB)) if os.path.lexists(root / JOB) else {}
    if not any(os.path.lexists(root / file) for file in RUN_FILES):
        return _read_job(root, name, job)
    status, experiment = reader.tree(files.status), reader.tree(files.experiment)
    rows, names = read_table(reader, files.result, columns)
    provenance = reader.tree(files.provenance)
    reader.faults += _edited(hand_edits(experiment, provenance))
    is_evaluated = os.path.lexists(files.evaluation)  # the file is optional
    evaluations = reader.rows(files.evaluation, MAX_EVALUATIONS) if is_evaluated else ()
    return Run(
        root=root,
        name=name,
        state=_state(status, job),
        error=error_of(status) or _text(job.get("error")),
        config=_without_fingerprint(leaves(displayed_mapping(experiment))),
        provenance=displayed_mapping(provenance),
        rows=rows,
        evaluations=tuple(_known_evaluations(reader, evaluations)),
        faults=tuple(map(printable, reader.faults)),
        columns=names,
        job=job,
    )


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
    last, table = first, NumberTable(kept)
    for last in rows:
        first = first or last
        table.append(tuple(map(last.get, kept)))
    names = tuple(filter(_is_name, dict.fromkeys((*first, *last))))
    columns_of, odd = table.columns()
    if odd:
        reader.faults.append(f"{path.name}: not always a number: {shortened(', '.join(odd))}")
    return {name: column for name, column in columns_of.items() if name in (STEPS, SECONDS, *names)}, names


class NumberTable:
    """Columns of numbers that are filled by rows, and kept as float64 from every CHUNK rows on."""

    CHUNK = 4096

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[np.ndarray] = []
        self._odd: dict[str, None] = {}

    def append(self, row: tuple[Any, ...]) -> None:
        """Add a row; its values are in the order of the names."""
        self._rows.append(row)
        if len(self._rows) == self.CHUNK:
            self._close_chunk()

    def columns(self) -> tuple[Table, list[str]]:
        """Return the columns, with NaN for null and what is not a number, and the names of those with the latter."""
        self._close_chunk()
        table = np.concatenate(self._chunks).T
        return dict(zip(self._names, np.ascontiguousarray(table), strict=True)), list(self._odd)

    def _close_chunk(self) -> None:
        rows, self._rows = self._rows, []
        try:
            table = np.array(rows, dtype=np.float64)  # None becomes NaN
        except (ValueError, TypeError, OverflowError):
            table = np.array([[value if is_number(value) else None for value in row] for row in rows], np.float64)
            columns = zip(self._names, zip(*rows, strict=True), strict=True)
            self._odd |= dict.fromkeys(name for name, values in columns if _is_odd(values))
        table = table.reshape(-1, len(self._names))
        is_huge: np.ndarray = np.abs(table) > MAX_NUMBER
        if is_huge.any():
            self._odd |= dict.fromkeys(self._names[column] for column in np.nonzero(is_huge)[1].tolist())
            table[is_huge] = np.nan
        self._chunks.append(table)


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
            faults=(shortened(printable(f"cannot be read ({type(error).__name__}: {error})")),),
        )


def _read_job(root: Path, name: str, job: dict[str, Any]) -> Run:
    """Read a sweep's job that waits, or failed before its run began: the requested experiment and the last output."""
    output = last_line(root / CONSOLE)
    state = state_of(job) if "state" in job else "failed" if output else "waiting"
    error = _text(job.get("error")) or (output if state == "failed" else None)
    return Run(
        root=root,
        name=name,
        state="not started" if state == "waiting" else state,
        error=error,
        config=_without_fingerprint(leaves(displayed_mapping(read_tree(root / REQUEST)))),
        provenance={},
        rows=_no_rows(),
        evaluations=(),
        faults=("the run was not started: experiment.yaml is missing",),
        job=job,
    )


def _edited(edits: Edits | None) -> list[str]:
    """Return a line about the edits of experiment.yaml by hand, if any."""
    if edits is None:
        return ["experiment.yaml: edited by hand; which keys is not recorded"]
    shown = ", ".join(f"{key} {before} -> {after}" for key, (before, after) in edits.items())
    return [f"experiment.yaml: edited by hand: {shortened(shown)}"] if edits else []


def _no_rows() -> Table:
    return {STEPS: np.array([]), SECONDS: np.array([])}


def _known_evaluations(reader: RunReader, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the evaluations in their current format; rows of an unknown format are one fault and left out."""
    faults: set[str] = set()
    for row in rows:
        if fault := format_fault(EVALUATION, row):
            faults.add(shortened(fault))
        elif isinstance(row.get("policy"), str):
            yield evaluation_figures(migrate(EVALUATION, row))
    reader.faults.extend(f"{EVALUATION}: {fault}" for fault in sorted(faults)[:MAX_FORMATS])


def evaluation_figures(row: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers, nulls and policy of an evaluation's row.

    `outcome_counts` and `scenario_counts` are in place of its episodes.
    """
    kept: dict[str, Any] = {}
    kept |= {name: value for name, value in row.items() if _is_name(name) and (value is None or is_number(value))}
    for name in ("outcome_counts", "scenario_counts", "by_scenario"):
        kept.pop(name, None)
    kept["policy"] = displayed(row["policy"])
    kept["kind"] = TRAINED if is_trained(row) else BASELINE
    episodes = row.get("outcomes")
    if isinstance(episodes, list):
        known = [episode for episode in episodes if isinstance(episode, dict)]
        kept["outcome_counts"] = dict(Counter(one["outcome"] for one in known if isinstance(one.get("outcome"), str)))
        kept["scenario_counts"] = _count_scenarios(known)
    return kept


def _count_scenarios(episodes: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return the number of each outcome by scenario, over the episodes that have both."""
    counts: dict[str, Counter[str]] = {}
    for episode in episodes:
        scenario, outcome = episode.get("scenario"), episode.get("outcome")
        if (
            isinstance(scenario, str)
            and isinstance(outcome, str)
            and (scenario in counts or len(counts) < MAX_SCENARIOS)
        ):
            counts.setdefault(scenario, Counter())[outcome] += 1
    return {shortened(printable(scenario)): dict(outcomes) for scenario, outcomes in counts.items()}


def _state(status: dict[str, Any], job: dict[str, Any]) -> str:
    """Return the state of status.json, or failed for an unfinished run whose sweep recorded a failure."""
    state = state_of(status)
    return "failed" if job.get("state") == "failed" and state in ("dead", "interrupted") else state


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_fingerprint(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ("fingerprint", "format")}


def _is_name(name: str) -> bool:
    """Return whether a key of a row can be the name of a metric."""
    return len(name) <= MAX_TEXT and name.isprintable()


def _is_odd(values: Iterable[Any]) -> bool:
    return any(not isinstance(value, (int, float, type(None))) for value in values)
