"""Reading of run directories, whatever is wrong with their files, and of sweep jobs that never became a run.

Missing, truncated or foreign content becomes a line in `faults`, never an exception. orjson parses the rows: a thousand
runs have 3 GB, for which the standard library needs 40 seconds.
"""

import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from dreamer_exp.compare.model import Run
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.status import state_of

STEPS, SECONDS = "env_steps", "time/total_s"  # the two x axes of curves
EPISODES = "episodes_total"  # limits the episodes of a *_window metric
# files that a sweep adds to a job's folder: the job's record, the requested experiment, the job's output
JOB, REQUEST, CONSOLE = "job.json", "requested.yaml", "console.log"
MANY = 60  # runs, from which on a pool of processes is faster
MAX_PROCESSES = 8
MAX_ERROR = 200  # characters
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times as fast


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
    files, reader = RunDirectory(root), Reader()
    job = reader.mapping(root / JOB) if (root / JOB).exists() else {}
    if not files.experiment.exists() and not files.status.exists():
        return _read_job(root, name, job)
    status, config = reader.mapping(files.status), flatten(reader.mapping(files.experiment))
    rows, names = reader.table(files.result, columns)
    evaluations = reader.rows(files.evaluation) if files.evaluation.exists() else ()  # optional
    return Run(
        root=root,
        name=name,
        state=_state(status, job),
        error=_error(status) or _text(job.get("error")),
        config=_without_fingerprint(config),
        provenance=reader.mapping(files.provenance),
        rows=rows,
        evaluations=tuple(_count_outcomes(row) for row in evaluations if isinstance(row.get("policy"), str)),
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


class Reader:
    """Reader of the files of one directory; it collects their faults, one line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def content(self, path: Path) -> bytes | None:
        """Return the content of a file; None if it cannot be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            self.faults.append(f"{path.name}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}")
            return None

    def mapping(self, path: Path) -> dict[str, Any]:
        """Return the mapping in a JSON or YAML file; empty without one."""
        content = self.content(path)
        if content is None:
            return {}
        try:
            tree = yaml.load(content, YamlLoader) if path.suffix == ".yaml" else orjson.loads(content)
        except (ValueError, yaml.YAMLError, RecursionError):
            tree = None
        if isinstance(tree, dict):
            return tree
        self.faults.append(f"{path.name}: cannot be read as {path.suffix[1:].upper()}")
        return {}

    def rows(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the rows of a .jsonl file: mappings with a number of `env_steps`."""
        broken, number, line = [], 0, b"\n"
        for number, line in enumerate(io.BytesIO(self.content(path) or b""), 1):
            try:
                row = orjson.loads(line)
                row[STEPS] + 0.0
            except (ValueError, KeyError, TypeError):
                broken.append(number)
            else:
                yield row
        if broken and broken[-1] == number and not line.endswith(b"\n"):  # the process died while writing
            self.faults.append(f"{path.name}: the last line is incomplete")
            broken.pop()
        if broken:
            more = f" and {len(broken) - 1} more are not rows" if len(broken) > 1 else " is not a row"
            self.faults.append(f"{path.name}: line {broken[0]}{more}")

    def table(self, path: Path, columns: Collection[str] | None) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """Return the rows by column, float64 [rows], and the names of all columns.

        NaN stands for null and for values that are not numbers. The names are those of the first and of the last row: a
        run that was resumed by a later version may have more columns there.
        """
        rows: Iterable[dict[str, Any]] = self.rows(path)
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
        table = self._numbers(path, kept, values)
        return {name: column for name, column in table.items() if name in (STEPS, SECONDS, *names)}, names

    def _numbers(self, path: Path, names: Sequence[str], values: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
        """Return columns of numbers; other values become NaN and a fault."""
        try:
            table = np.array(values, dtype=np.float64)  # None becomes NaN
        except (ValueError, TypeError, OverflowError):
            numbers = [[value if isinstance(value, (int, float)) else None for value in row] for row in values]
            table = np.array(numbers, dtype=np.float64)
            odd = [name for name, column in zip(names, zip(*values, strict=True), strict=True) if _is_odd(column)]
            self.faults.append(f"{path.name}: not always a number: {', '.join(odd)}")
        return dict(zip(names, table.reshape(-1, len(names)).T.copy(), strict=True))


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
        config=_without_fingerprint(flatten(Reader().mapping(request) if request.exists() else {})),
        provenance={},
        rows=_no_rows(),
        evaluations=(),
        faults=("the run was not started: experiment.yaml is missing",),
        job=job,
    )


def _no_rows() -> dict[str, np.ndarray]:
    return {STEPS: np.array([]), SECONDS: np.array([])}


def _count_outcomes(row: dict[str, Any]) -> dict[str, Any]:
    """Return an evaluation's row with `outcome_counts` in place of its episodes."""
    episodes, _ = row.pop("outcomes", None), row.pop("outcome_counts", None)
    if isinstance(episodes, list):
        outcomes = [episode.get("outcome") for episode in episodes if isinstance(episode, dict)]
        row["outcome_counts"] = dict(Counter(outcome for outcome in outcomes if isinstance(outcome, str)))
    return row


def _state(status: dict[str, Any], job: dict[str, Any]) -> str:
    """Return the state of status.json, or failed for an unfinished run whose sweep recorded a failure."""
    state = state_of(status)
    return "failed" if job.get("state") == "failed" and state in ("dead", "interrupted") else state


def _error(status: dict[str, Any]) -> str | None:
    """Return type and first line of the error of a failed run."""
    error = status.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_fingerprint(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "fingerprint"}


def _is_odd(values: Iterable[Any]) -> bool:
    return any(not isinstance(value, (int, float, type(None))) for value in values)
