"""The stack of a crash in native code, of an environment or a library, for the parent process instead of stderr."""

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from dreamer_exp.rundir.processes import Parent

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


@contextmanager
def crash_trace() -> Iterator[None]:
    """Keep Python's stack at a crash within the block for the parent, which writes it next to its line.

    To be called after ray.init, whose own handlers fill stderr. Without a parent the handlers stay as they are.
    """
    if Parent.stack is None:
        yield
        return
    faulthandler.disable()  # enabled by Ray; enabling it again would install no handlers
    for number in CRASHES:
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable(Parent.stack, all_threads=False)
    try:
        yield
    finally:
        faulthandler.enable(all_threads=False)  # to stderr
