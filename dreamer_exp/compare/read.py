"""One run's directory -> Run. What is missing, cut off or foreign becomes a line in its `faults`, never an exception.

orjson parses the rows: those of a thousand runs are 3 GB, which the standard library reads in 40 seconds.
"""

import socket
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

from dreamer_exp.compare.model import Run
from dreamer_exp.runs.directory import RunDirectory
from dreamer_exp.runs.status import _alive

STEPS, SECONDS = "env_steps", "time/total_s"  # the two columns that curves run over
CONSOLE = "console.log"  # what a sweep's job printed
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


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
    rows = reader.rows(files.result)
    evaluations = reader.rows(files.evaluation) if files.evaluation.exists() else []  # a run may have none
    return Run(
        root=root,
        name=name,
        state=_state(status),
        error=_error(status),
        config=config,
        provenance=reader.tree(files.provenance),
        rows=reader.table(files.result, rows, columns),
        evaluations=tuple(_figures(row) for row in evaluations if isinstance(row.get("policy"), str)),
        faults=tuple(reader.faults),
        columns=_names(rows),
    )


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

    def rows(self, path: Path) -> list[dict[str, Any]]:
        """The lines of a .jsonl file that are rows: mappings with a number of `env_steps`."""
        lines = self.content(path).split(b"\n")
        rows, broken = [], []
        for number, line in enumerate(lines, 1):
            try:
                row = orjson.loads(line)
                row[STEPS] + 0.0
            except (ValueError, KeyError, TypeError):
                if line:
                    broken.append(number)
            else:
                rows.append(row)
        if broken and broken[-1] == len(lines):  # no newline: the end of a process that died while it wrote
            self.faults.append(f"{path.name}: the last line is cut off")
            broken.pop()
        if broken:
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            self.faults.append(f"{path.name}: line {broken[0]}{more} is no row")
        return rows

    def table(self, path: Path, rows: list[dict[str, Any]], columns: Collection[str] | None) -> dict[str, np.ndarray]:
        """The rows by column, float64 [rows]; NaN for null and for what is no number."""
        names = _names(rows) if columns is None else (SECONDS, *columns)
        return {name: self.column(path, rows, name) for name in dict.fromkeys((STEPS, *names))}

    def column(self, path: Path, rows: list[dict[str, Any]], name: str) -> np.ndarray:
        """One figure of all rows."""
        values = [row.get(name) for row in rows]
        try:
            return np.array(values, dtype=np.float64)  # None becomes NaN
        except (ValueError, TypeError, OverflowError):
            self.faults.append(f"{path.name}: {name} is not always a number")
            return np.array([v if isinstance(v, float) else np.nan for v in values], dtype=np.float64)


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by dotted key: {"algo": {"horizon_H": 15}} -> {"algo.horizon_H": 15}."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def _names(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    """Columns of the first and of the last row: a run that a later version went on with has more in the last."""
    return tuple(dict.fromkeys((*rows[0], *rows[-1]))) if rows else ()


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
    return here and not _alive(status)


def _unborn(root: Path, name: str) -> Run:
    """A sweep's job that never became a run: failed where it printed something, not started where it didn't."""
    printed = root / CONSOLE
    lines = printed.read_text(encoding="utf-8", errors="replace").split("\n") if printed.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    state, error = ("failed", said[-1]) if said else ("not started", None)
    empty = {STEPS: np.array([]), SECONDS: np.array([])}
    return Run(root, name, state, error, {}, {}, empty, (), ("never became a run: no experiment.yaml",))
