"""Files -> trees, rows and columns. What is missing, cut off or foreign becomes a line in `faults`, never an exception.

orjson parses the rows: those of a thousand runs are 3 GB, which the standard library reads in 40 seconds.
"""

import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import yaml

STEPS, SECONDS = "env_steps", "time/total_s"  # the two columns that curves run over
EPISODES = "episodes_total"  # tells how many episodes a *_window figure looks back on
YamlLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast


class Reader:
    """Reads files of one directory and collects what is wrong with them, a line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def content(self, path: Path) -> bytes | None:
        """What a file holds; None where it can't be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            self.faults.append(f"{path.name}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}")
            return None

    def tree(self, path: Path) -> dict[str, Any]:
        """The mapping that a JSON or YAML file holds; empty where it holds none."""
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
        """The lines of a .jsonl file that are rows: mappings with a number of `env_steps`."""
        broken, number, line = [], 0, b"\n"
        for number, line in enumerate(io.BytesIO(self.content(path) or b""), 1):
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
        kept = tuple(dict.fromkeys((STEPS, SECONDS, EPISODES, *columns)))
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
