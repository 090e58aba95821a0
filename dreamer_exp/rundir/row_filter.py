"""Removal of rows from a .jsonl file: those after a checkpoint, and damaged lines."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.atomic import replace_file
from dreamer_exp.rundir.parse import parse_row
from dreamer_exp.rundir.plain_file import open_plain
from dreamer_exp.rundir.reader import read_lines

Row = dict[str, Any]


@dataclass(frozen=True)
class RemovedLines:
    """Numbers of lines that were removed from a file."""

    unwanted: int = 0
    damaged: int = 0  # the last line of a killed process, or one that was damaged later

    def __add__(self, other: "RemovedLines") -> "RemovedLines":
        return RemovedLines(self.unwanted + other.unwanted, self.damaged + other.damaged)


def filter_rows(
    path: Path, is_wanted: Callable[[Row], bool], parse: Callable[[bytes], Row | None] = parse_row
) -> RemovedLines:
    """Keep the wanted rows of a .jsonl file; a damaged line costs that line only. A missing file has no rows.

    Args:
        path: The file, which is replaced.
        is_wanted: May raise an error for a row that lacks what every row has; it counts as damaged.
        parse: Returns the row in a line, or None.

    Raises:
        OSError: The file cannot be read or replaced, or is not a plain file.
    """
    removed = RemovedLines()
    if not os.path.lexists(path):
        return removed
    with open_plain(path) as file, replace_file(path) as temporary, open(temporary, "wb") as kept:
        for line in read_lines(file):
            row = parse(line) if line.endswith(b"\n") else None
            wanted = None if row is None else _is_wanted(row, is_wanted)
            if wanted:
                kept.write(line)
            removed += RemovedLines(wanted is False, wanted is None)
    return removed


def _is_wanted(row: Row, is_wanted: Callable[[Row], bool]) -> bool | None:
    """Return whether a row is kept; None for one that lacks what every row has."""
    try:
        return is_wanted(row)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
