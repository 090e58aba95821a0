"""Opening of files that someone else may have written: plain files of a limited size, and nothing else.

Symbolic links, named pipes, devices and sockets are refused before they are opened: a link can show any file of this
machine in a report, and a pipe without a writer blocks the reader.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from dreamer_exp.formatting import file_size

_KINDS = {
    stat.S_IFLNK: "is a symbolic link, which is not followed",
    stat.S_IFIFO: "is a named pipe",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFSOCK: "is a socket",
}
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
MIN_SPARSE_BYTES = 2**24  # smaller files are read whatever their blocks
MAX_SPARSE_RATIO = 100  # of size to allocated blocks; file systems that compress stay below it


def open_plain(path: Path, limit_bytes: int | None = None) -> BufferedReader:
    """Open a plain file for reading.

    Raises:
        OSError: The file is missing, unreadable, of another kind, or larger than the limit; `strerror` is the reason.
    """
    _refuse_kind(path, _lstat(path))
    file = open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS))  # noqa: SIM115
    try:
        state = os.fstat(file.fileno())
        _refuse_kind(path, state)
        if limit_bytes is not None and state.st_size > limit_bytes:
            raise _refusal(path, errno.EFBIG, f"too large to read ({file_size(state.st_size)})")
    except OSError:
        file.close()
        raise
    return file


def read_plain(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a plain file; raises OSError as `open_plain`, also if it grows beyond the limit."""
    with open_plain(path, limit_bytes) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise _refusal(path, errno.EFBIG, "too large to read")
    return content


def is_plain(path: Path) -> bool:
    """Return whether there is a plain file; a link to one is not."""
    try:
        return stat.S_ISREG(_lstat(path).st_mode)
    except OSError:
        return False


def is_plain_folder(path: Path) -> bool:
    """Return whether there is a folder; a link to one is not."""
    try:
        return stat.S_ISDIR(_lstat(path).st_mode)
    except OSError:
        return False


def refuse_sparse(file: BufferedReader) -> None:
    """Refuse a large file that is almost only holes: it takes no disk, and reading it takes as long as its size.

    Raises:
        OSError: Fewer than one in MAX_SPARSE_RATIO bytes are allocated.
    """
    state = os.fstat(file.fileno())
    blocks = getattr(state, "st_blocks", None)
    if blocks is None or state.st_size < MIN_SPARSE_BYTES or blocks * 512 * MAX_SPARSE_RATIO > state.st_size:
        return
    position = file.tell()
    hole = os.lseek(file.fileno(), 0, os.SEEK_HOLE)  # the end of the file where the file system knows no holes
    file.seek(position)
    if hole < state.st_size:
        raise _refusal(Path(file.name), errno.EINVAL, f"is sparse: {file_size(state.st_size)} without content")


def _lstat(path: Path) -> os.stat_result:
    try:
        return os.lstat(path)
    except ValueError as error:  # a NUL in the name
        raise _refusal(path, errno.EINVAL, "is not a name of a file") from error


def _refuse_kind(path: Path, state: os.stat_result) -> None:
    kind = stat.S_IFMT(state.st_mode)
    if kind == stat.S_IFDIR:
        raise _refusal(path, errno.EISDIR, os.strerror(errno.EISDIR))
    if kind != stat.S_IFREG:
        raise _refusal(path, errno.EINVAL, _KINDS.get(kind, "is not a plain file"))


def _refusal(path: Path, number: int, reason: str) -> OSError:
    return OSError(number, reason, str(path))
