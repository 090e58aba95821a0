"""The reader of a run directory: JSON and YAML trees, JSON-lines rows, and the last row of a long file.

Missing, broken or foreign content becomes a line in `RunReader.faults`, never an exception. Nothing is followed,
resolved or imported, and what is read is limited in time and memory (rundir/plain_file.py, rundir/parse.py).
"""

import os
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from dreamer_exp.formatting import printable, shortened
from dreamer_exp.rundir.formats import format_fault
from dreamer_exp.rundir.migration import migrate
from dreamer_exp.rundir.parse import Unparsable, parse_json, parse_row, parse_yaml
from dreamer_exp.rundir.plain_file import open_plain, read_plain

BLOCK_BYTES = 2**16  # read at a time from the end of a file
MAX_LINE_BYTES = 2**24  # a longer line is not a row; an evaluation of 10,000 episodes, the most, has 9 MB
MAX_TREE_BYTES = {".json": 2**22, ".yaml": 2**20}  # a larger file is not one of ours
MAX_ROWS = 1_000_000
MAX_BROKEN_LINES, MAX_BROKEN_BYTES = 100_000, 2**26  # after which the rest of a file is not read
MAX_TAIL_BYTES = 2**24  # read from the end of a file in search of a row


class RunReader:
    """Reader of one directory's files that collects what is wrong with them in `faults`, a line each."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def tree(self, path: Path) -> dict[str, Any]:
        """Return the mapping in a JSON or YAML file, or an empty one with a fault.

        A file of unknown format is a fault too (rundir/formats.py). An older one is migrated (rundir/migration.py).
        """
        try:
            content = read_plain(path, MAX_TREE_BYTES[path.suffix])
            tree = (parse_yaml if path.suffix == ".yaml" else parse_json)(content)
        except OSError as error:
            return self._refuse(path, _reason(error))
        except Unparsable as error:
            return self._refuse(path, str(error))
        if not isinstance(tree, dict):
            return self._refuse(path, f"cannot be read as {path.suffix[1:].upper()}")
        if fault := format_fault(path.name, tree):
            return self._refuse(path, fault)
        return migrate(path.name, tree)

    def rows(self, path: Path, most: int = MAX_ROWS) -> Iterator[dict[str, Any]]:
        """Yield the rows of a .jsonl file: objects with a number of `env_steps`.

        A line that is not a row costs that line. After `most` rows, MAX_BROKEN_LINES or MAX_BROKEN_BYTES the rest is
        not read; each is a fault.
        """
        broken: list[int] = []
        number, rows, row_bytes, line = 0, 0, 0, b"\n"
        try:
            with open_plain(path) as file:
                for number, line in enumerate(read_lines(file), 1):
                    row = parse_row(line)
                    if row is not None and rows < most:
                        rows, row_bytes = rows + 1, row_bytes + len(line)
                        yield row
                        continue
                    broken.append(number)
                    if _is_enough(rows, most, len(broken), file.tell() - row_bytes):
                        self.faults.append(f"{path.name}: not read from line {number} on")
                        broken.pop()
                        break
        except OSError as error:
            self.faults.append(f"{path.name}: {_reason(error)}")
        if broken and broken[-1] == number and line.startswith(b"{") and not line.endswith(b"\n"):
            self.faults.append(f"{path.name}: the last line is cut off")  # its process was killed while writing
            broken.pop()
        if broken:
            more = f" and {len(broken) - 1:,} more are not rows" if len(broken) > 1 else " is not a row"
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
            self.faults.append(f"{path.name}: {broken:,} broken line{'s' if broken > 1 else ''} at the end")
        return found

    def _refuse(self, path: Path, reason: str) -> dict[str, Any]:
        self.faults.append(f"{path.name}: {shortened(printable(reason))}")
        return {}


def read_tree(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML file; an empty one if the file is missing or broken."""
    return RunReader().tree(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a .jsonl file without its damaged lines; none if there is no file."""
    return list(RunReader().rows(path))


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """Return the rows of this run's evaluation.jsonl in their current format, without damaged lines."""
    return [migrate(path.name, row) for row in read_rows(path) if isinstance(row.get("policy"), str)]


def last_row(path: Path) -> dict[str, Any] | None:
    """Return the last row of a .jsonl file, or None."""
    return RunReader().last_row(path)


def last_line(path: Path) -> str | None:
    """Return the last line of a log that is not empty, as it may be shown, or None; only the end is read."""
    try:
        lines = (line.decode("utf-8", "replace").strip() for line in lines_from_end(path))
        return next((shortened(printable(line)) for line in lines if line), None)
    except OSError:  # no log, or not a plain file
        return None


def lines_from_end(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first, reading block by block from the end.

    The iteration ends after MAX_TAIL_BYTES. A line longer than MAX_LINE_BYTES comes without its beginning and ends it
    too.

    Raises:
        OSError: The file cannot be read, or is not a plain file.
    """
    with open_plain(path) as file:
        end = file.seek(0, os.SEEK_END)
        last, parts = max(0, end - MAX_TAIL_BYTES), [b""]  # of the line whose beginning comes next, the last one first
        while end > last and len(parts) * BLOCK_BYTES < MAX_LINE_BYTES:
            begin = max(0, end - BLOCK_BYTES)
            file.seek(begin)
            part, *lines = file.read(end - begin).split(b"\n")
            if lines:
                lines[-1] += b"".join(reversed(parts))
                yield from reversed(lines)
                parts = []
            parts.append(part)
            end = begin
        yield b"".join(reversed(parts))


def read_lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield the lines of a file; in the place of one that is longer than MAX_LINE_BYTES, a line that is not a row."""
    while line := file.readline(MAX_LINE_BYTES):
        skipped = 0
        while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n") and skipped < MAX_BROKEN_BYTES:
            skipped += len(line)
            line = file.readline(MAX_LINE_BYTES)
        yield b"\0" + line[-1:] if skipped else line


def _is_enough(rows: int, most: int, broken: int, broken_bytes: int) -> bool:
    return rows >= most or broken > MAX_BROKEN_LINES or broken_bytes > MAX_BROKEN_BYTES


def _reason(error: OSError) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else str(error.strerror)
