"""One run's directory -> Run. What is missing, cut off or foreign becomes a line in its `faults`, never an exception.

orjson parses the rows: those of a thousand runs are 3 GB, which the standard library reads in 40 seconds.
"""

import io
import os
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from dreamer_exp.compare.model import Run
from dreamer_exp.runs.directory import RunDirectory
from dreamer_exp.runs.status import is_alive

STEPS, SECONDS = "env_steps", "time/total_s"  # the two columns that curves run over
CONSOLE = "console.log"  # what a sweep's job printed
MANY = 60  # runs, from which on it pays to start processes
MOST_PROCESSES = 8
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


def read_runs(named: Sequence[tuple[Path, str]], columns: Collection[str] | None = None) -> list[Run]:
    """The runs in these directories, each as `read_run` reads it; many are shared out among processes."""
    one = partial(_read_named, columns=columns)
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    if len(named) < MANY or processes == 1:
        return [one(pair) for pair in named]
    # spawned: a fork would copy the threads that numpy's BLAS may have, and their locks
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(one, named, chunksize=8))


def read_run(root: Path, name: str, columns: Collection[str] | None = None) -> Run:
    """The run in this directory.

    Args:
        root: its directory.
        name: what to call it.
        columns: of result.jsonl, that are kept besides the two that curves run over; None: all.
    """
    files, reader = RunDirectory(root), Reader()
    if not files.experiment.exists() and not files.status.exists():
        return _unborn(root, name)
    status = reader.tree(files.status)
    config = flatten(reader.tree(files.experiment))
    config.pop("fingerprint", None)
    rows, names = reader.table(files.result, columns)
    evaluations = reader.rows(files.evaluation) if files.evaluation.exists() else ()  # a run may have none
    return Run(
        root=root,
        name=name,
        state=_state(status),
        error=_error(status),
        config=config,
        provenance=reader.tree(files.provenance),
        rows=rows,
        evaluations=tuple(_figures(row) for row in evaluations if isinstance(row.get("policy"), str)),
        faults=tuple(reader.faults),
        columns=names,
    )


def _read_named(named: tuple[Path, str], columns: Collection[str] | None) -> Run:
    return read_run(*named, columns)


class Reader:
    """Reads files and collects what is wrong with them, a line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def content(self, path: Path) -> bytes:
        """What a file holds; nothing where it can't be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            self.faults.append(f"{path.name}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}")
            return b""

    def tree(self, path: Path) -> dict[str, Any]:
        """The mapping that a JSON or YAML file holds; empty where it holds none."""
        content = self.content(path)
        if not content:
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
        """The lines of a .jsonl file that are rows: mappings with a number of `env_steps`."""
        broken, number, line = [], 0, b"\n"
        for number, line in enumerate(io.BytesIO(self.content(path)), 1):
            try:
                row = orjson.loads(line)
                row[STEPS] + 0.0
            except (ValueError, KeyError, TypeError):
                broken.append(number)
            else:
                yield row
        if (
            broken and broken[-1] == number and not line.endswith(b"\n")
        ):  # the end of a process that died while it wrote
            self.faults.append(f"{path.name}: the last line is cut off")
            broken.pop()
        if broken:
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            self.faults.append(f"{path.name}: line {broken[0]}{more} is no row")

    def table(self, path: Path, columns: Collection[str] | None) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """The rows by column, float64 [rows], NaN for null and for what is no number; and the names of all columns.

        The names are those of the first and of the last row: a run that a later version went on with has more there.
        """
        rows: Iterable[dict[str, Any]] = self.rows(path)
        if columns is None:
            rows = list(rows)
            columns = tuple(dict.fromkeys(key for row in (*rows[:1], *rows[-1:]) for key in row))
        kept = tuple(dict.fromkeys((STEPS, SECONDS, *columns)))
        first: dict[str, Any] = {}
        last, values = first, []
        for last in rows:
            first = first or last
            values.append(tuple(map(last.get, kept)))
        names = tuple(dict.fromkeys((*first, *last)))
        table = self.numbers(path, kept, values)
        return {name: column for name, column in table.items() if name in (STEPS, SECONDS, *names)}, names

    def numbers(self, path: Path, names: Sequence[str], values: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
        """Columns of numbers; what is none is told, and NaN."""
        try:
            table = np.array(values, dtype=np.float64)  # None becomes NaN
        except (ValueError, TypeError, OverflowError):
            numbers = [[value if isinstance(value, (int, float)) else None for value in row] for row in values]
            table = np.array(numbers, dtype=np.float64)
            odd = [name for name, column in zip(names, zip(*values, strict=True), strict=True) if _is_odd(column)]
            self.faults.append(f"{path.name}: not always a number: {', '.join(odd)}")
        return dict(zip(names, table.reshape(-1, len(names)).T.copy(), strict=True))


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted key: {"algo": {"horizon_H": 15}} -> {"algo.horizon_H": 15}."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _is_odd(values: Iterable[Any]) -> bool:
    return any(not isinstance(value, (int, float, type(None))) for value in values)


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's row, with how often each outcome was reached (`outcome_counts`) in place of its episodes."""
    episodes = row.pop("outcomes", None)
    if isinstance(episodes, list):
        told = [episode.get("outcome") for episode in episodes if isinstance(episode, dict)]
        row["outcome_counts"] = dict(Counter(outcome for outcome in told if isinstance(outcome, str)))
    return row


def _state(status: dict[str, Any]) -> str:
    """What status.json says, but dead where it says running and the process is gone from this host."""
    state = status.get("state")
    if not isinstance(state, str):
        return "unknown"
    return "dead" if state == "running" and _is_gone(status) else state


def _error(status: dict[str, Any]) -> str | None:
    """Type and first line of what ended a failed run."""
    error = status.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None


def _is_gone(status: dict[str, Any]) -> bool:
    """Whether its process was on this host, and isn't there any more; of other hosts nobody knows here."""
    here = status.get("host") == socket.gethostname() and isinstance(status.get("pid"), int)
    return here and not is_alive(status)


def _unborn(root: Path, name: str) -> Run:
    """A sweep's job that never became a run: failed where it printed something, not started where it didn't."""
    printed = root / CONSOLE
    lines = printed.read_text(encoding="utf-8", errors="replace").split("\n") if printed.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    state, error = ("failed", said[-1]) if said else ("not started", None)
    empty = {STEPS: np.array([]), SECONDS: np.array([])}
    return Run(root, name, state, error, {}, {}, empty, (), ("never became a run: no experiment.yaml",))
