"""The trace of a crash in native code, of an environment or a library, in a file of the run instead of on stderr."""

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dreamer_exp.rundir.processes import Parent

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


@contextmanager
def crash_trace(path: Path) -> Iterator[None]:
    """Write Python's stack to a file at a crash within the block; no file is left otherwise.

    To be called after ray.init, whose own handlers fill stderr. Without a parent that prints the crash as one line,
    the handlers stay as they are.
    """
    if Parent.pid is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError:  # the disk is full, or the file is a link: stderr has the trace
        yield
        return
    with open(descriptor, "ab") as file:
        faulthandler.disable()  # enabled by Ray; enabling it again would install no handlers
        for number in CRASHES:
            signal.signal(number, signal.SIG_DFL)
        faulthandler.enable(file, all_threads=False)
        try:
            yield
        finally:
            faulthandler.enable(all_threads=False)  # to stderr
            with suppress(OSError):
                if not path.stat().st_size:
                    path.unlink()
