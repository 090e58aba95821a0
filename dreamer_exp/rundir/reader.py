"""The reader of a run directory: JSON and YAML trees, JSON-lines rows, and the last row of a long file.

Missing, broken or foreign content becomes a line in `RunReader.faults`, never an exception. Rows are parsed with
orjson: those of a thousand runs are 3 GB, which takes the standard library 40 seconds.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from dreamer_exp.formatting import file_size
from dreamer_exp.rundir.formats import format_fault
from dreamer_exp.rundir.migration import migrate

BLOCK_BYTES = 2**16  # read at a time from the end of a file
MAX_LINE_BYTES = 2**24  # a longer line is not a row
MAX_TREE_BYTES = {".json": 2**26, ".yaml": 2**20}  # a larger file is not one of ours
# libyaml overflows the stack at some 20,000 levels; below 1 MiB, indentation alone makes at most 1,448
YAML_OPENERS = (b"[", b"{", b"- ", b"? ")
MAX_YAML_OPENERS = 5000


class RunReader:
    """Reader of one directory's files that collects what is wrong with them in `faults`, a line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def tree(self, path: Path) -> dict[str, Any]:
        """Return the mapping in a JSON or YAML file, or an empty one with a fault.

        A file of unknown format is a fault too (rundir/formats.py). An older one is migrated (rundir/migration.py).
        """
        try:
            if (size := path.stat().st_size) > MAX_TREE_BYTES[path.suffix]:
                self.faults.append(f"{path.name}: too large to read ({file_size(size)})")
                return {}
            content = path.read_bytes()
        except OSError as error:
            self.faults.append(f"{path.name}: {_reason(error)}")
            return {}
        tree = _parse_yaml(content) if path.suffix == ".yaml" else _parse_json(content)
        if isinstance(tree, dict):
            if fault := format_fault(path.name, tree):
                self.faults.append(f"{path.name}: {fault}")
                return {}
            return migrate(path.name, tree)
        self.faults.append(f"{path.name}: cannot be read as {path.suffix[1:].upper()}")
        return {}

    def rows(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the rows of a .jsonl file: objects with a number of `env_steps`."""
        broken: list[int] = []
        number, line = 0, b"\n"
        try:
            with open(path, "rb") as file:
                for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
                    row = parse_row(line)
                    if row is None:
                        broken.append(number)
                    else:
                        yield row
        except OSError as error:
            self.faults.append(f"{path.name}: {_reason(error)}")
        if broken and broken[-1] == number and not line.endswith(b"\n"):  # its process was killed while writing
            self.faults.append(f"{path.name}: the last line is cut off")
            broken.pop()
        if broken:
            more = f" and {len(broken) - 1} more are not rows" if len(broken) > 1 else " is not a row"
            self.faults.append(f"{path.name}: line {broken[0]}{more}")

    def last_row(
        self, path: Path, is_wanted: Callable[[dict[str, Any]], bool] = lambda row: True
    ) -> dict[str, Any] | None:
        """Return the last wanted row of a .jsonl file, or None; only the end of the file is read.

        A missing file has no rows; that is not a fault.
        """
        broken, found = 0, None
        try:
            for line in filter(None, lines_from_end(path)):
                row = parse_row(line)
                if row is None:
                    broken += 1
                elif is_wanted(row):
                    found = row
                    break
        except FileNotFoundError:
            return None
        except OSError as error:
            self.faults.append(f"{path.name}: {_reason(error)}")
            return None
        if broken:
            self.faults.append(f"{path.name}: {broken} broken line{'s' if broken > 1 else ''} at the end")
        return found


def read_tree(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file; an empty one if the file is missing or broken."""
    return RunReader().tree(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a .jsonl file of this run; none if there is no file.

    Raises:
        ValueError: A line is broken.
    """
    if not path.exists():
        return []
    return [orjson.loads(line) for line in path.read_bytes().splitlines() if line]


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """Return the rows of this run's evaluation.jsonl in their current format; none if there is no file.

    Raises:
        ValueError: A line is broken.
    """
    return [migrate(path.name, row) for row in read_rows(path)]


def last_row(path: Path) -> dict[str, Any] | None:
    """Return the last row of a .jsonl file, or None."""
    return RunReader().last_row(path)


def lines_from_end(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first, reading block by block from the end.

    A line longer than MAX_LINE_BYTES comes without its beginning and ends the iteration.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        end, rest = file.seek(0, os.SEEK_END), b""
        while end and len(rest) < MAX_LINE_BYTES:
            begin = max(0, end - BLOCK_BYTES)
            file.seek(begin)
            rest, *lines = (file.read(end - begin) + rest).split(b"\n")
            yield from reversed(lines)
            end = begin
        yield rest


def parse_row(line: bytes) -> dict[str, Any] | None:
    """Return the row in a line: an object with a number of `env_steps`; None for any other content."""
    row = parse_object(line)
    return row if row is not None and isinstance(row.get("env_steps"), (int, float)) else None


def parse_object(text: bytes | str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None."""
    tree = _parse_json(text)
    return tree if isinstance(tree, dict) else None


def _parse_json(text: bytes | str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def _parse_yaml(content: bytes) -> Any:
    import yaml

    if sum(map(content.count, YAML_OPENERS)) > MAX_YAML_OPENERS:
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
    try:
        return yaml.load(content, loader)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _reason(error: OSError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
