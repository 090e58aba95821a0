"""Standard output and error that outlive their reader: a closed pipe, a full disk or a closed terminal ends no command.

What cannot be written is dropped, and so is everything after it.
"""

import io
import os
import select
import sys
from typing import IO, Any


class Output(io.RawIOBase):
    """File descriptor to write to; from its first failure on it is the null device.

    Attributes:
        failure: the first failure other than a closed pipe or terminal; None if everything was written.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def fileno(self) -> int:
        """Return the descriptor; child processes write to it too."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write, or drop, all of the data; return its size in bytes."""
        waiting = memoryview(data).cast("B")
        size = len(waiting)
        try:
            while waiting:
                waiting = waiting[self._write_some(waiting) :]
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.failure = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._descriptor)
            os.close(null)
        return size

    def _write_some(self, data: memoryview) -> int:
        """Write a part; wait for a slow reader of a descriptor that another process has set to non-blocking."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])


def keep_running_without_terminal() -> None:
    """Replace sys.stdout and sys.stderr by streams that never fail; calling it again changes nothing.

    Standard streams that the process was started without (`>&-`) become the null device: a file opened later would get
    their numbers, and the output with them.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(null, True)
    sys.stdout, sys.stderr = _stream(sys.stdout, 1), _stream(sys.stderr, 2)


def unwritten() -> OSError | None:
    """Return why standard output is incomplete, or None. A reader that closed the pipe has what it wanted."""
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    return raw.failure if isinstance(raw, Output) else None


def _stream(present: IO[str] | None, descriptor: int) -> IO[str]:
    if present is not None and (isinstance(_raw(present), Output) or not _is_standard(present, descriptor)):
        return present  # replaced before, or by a test
    return io.TextIOWrapper(
        io.BufferedWriter(Output(descriptor)),
        encoding=getattr(present, "encoding", None) or "utf-8",
        errors="backslashreplace",  # names of folders may have any bytes
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )


def _is_standard(stream: IO[str], descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (OSError, ValueError):  # no file, or a closed one
        return False


def _raw(stream: IO[str]) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)
