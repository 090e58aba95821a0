"""Atomic writes: after a failure or a kill, a file or folder is the old one or the new one, never a part of it.

Everything is written under a temporary name in the same folder, synced to disk and renamed.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield the temporary path to write; on success it replaces `path`, on an exception it is removed.

    Missing parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    temporary.unlink(missing_ok=True)  # a link there would be followed
    try:
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # of a write
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder to fill; on success it replaces `path`, on an exception it is removed.

    Missing parent folders are created.
    """
    temporary = temporary_path(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _sync_tree(temporary)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8)."""
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_figure(path: Path, figure: Any, dpi: int) -> None:
    """Replace a PNG by a figure of matplotlib's."""
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


def write_json(path: Path, tree: Any) -> None:
    """Replace a JSON file; raises ValueError for NaN and infinity, which JSON lacks."""
    write_text(path, json_text(tree))


def json_text(tree: Any) -> str:
    """Return a JSON file's text; raises ValueError for NaN and infinity."""
    return json.dumps(tree, indent=2, allow_nan=False) + "\n"


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a binary file."""
    with replace_file(path) as temporary:
        temporary.write_bytes(data)


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Append one JSON line; a part that a full disk accepted is removed again.

    Raises:
        ValueError: The row holds NaN or infinity.
        OSError: The line could not be written completely.
    """
    line = (json.dumps(row, allow_nan=False) + "\n").encode()
    with open(path, "ab", buffering=0) as file:
        size = file.tell()
        if file.write(line) != len(line):
            file.truncate(size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes `path` before it is renamed."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync_file(path)
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Sync a folder's entries, so that the names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
