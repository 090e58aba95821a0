"""The end of a .jsonl file, without reading what comes before: files of long runs are hundreds of megabytes."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BLOCK = 2**16  # bytes read at a time
LONGEST_LINE = 2**24  # bytes; a longer one is no row, and what comes before it is not looked for


def last_row(
    path: Path, faults: list[str], is_wanted: Callable[[dict[str, Any]], bool] = lambda row: True
) -> dict[str, Any] | None:
    """The last row that is wanted; None without one or without a file. Broken lines after it are told in `faults`."""
    broken, found = 0, None
    try:
        for line in filter(None, lines_from_end(path)):
            row = parse_row(line)
            broken += row is None
            if row is not None and is_wanted(row):
                found = row
                break
    except FileNotFoundError:
        return None
    except OSError as error:
        faults.append(f"{path.name} cannot be read ({error.strerror})")
        return None
    if broken:
        faults.append(f"{path.name}: {broken} broken line{'s' if broken > 1 else ''} at its end")
    return found


def lines_from_end(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last one first, read block by block from its end; raises OSError.

    A line of more than LONGEST_LINE comes without its beginning, and is the last one given.
    """
    with open(path, "rb") as file:
        end, rest = file.seek(0, os.SEEK_END), b""
        while end and len(rest) < LONGEST_LINE:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            rest, *lines = (file.read(end - begin) + rest).split(b"\n")
            yield from reversed(lines)
            end = begin
        yield rest


def parse_row(line: bytes | str) -> dict[str, Any] | None:
    """The mapping that a line holds; None where it holds none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: brackets by the thousand
        return None
    return row if isinstance(row, dict) else None
