"""The parents of a run: they report an end that the run itself cannot report, and end what it leaves.

`os._exit` in an environment, a crash in native code and the kernel's out-of-memory killer end a process at once, some
with exit code 0. So the process that the user started has a child, the watcher, and the watcher's child is the run.
The watcher waits for the run, passes on signals, and exits with its code. An end that the run did not announce is
printed, recorded in status.json, and exit code 1. A run that does not answer a signal is killed. Processes that an
environment started and left are ended too. The two parents are needed because either can be killed: the other one then
ends the run and what belongs to it.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from dreamer_exp.cli.orphans import end_orphans, kill_orphans
from dreamer_exp.cli.unreported_end import end_of, end_unanswered, read_facts
from dreamer_exp.rundir.processes import Parent, notify
from dreamer_exp.training.signals import FORWARDED

PR_SET_PDEATHSIG = 1  # of prctl(2)
PR_SET_CHILD_SUBREAPER = 36  # orphans below this process become its children
POLL_S = 1.0
ANSWER_S = 30.0  # for a run to answer a signal: native code delays it, as when large arrays are written
AGAIN_S = 3.0  # for a run to end after the same signal again
TWICE_S = 0.5  # in which the same signal comes twice for one reason: timeout(1) signals its child, and then its group
# in the log of a process that uses Ray 2.60; it ends itself in any call that needs the raylet, with exit code 1
RAY_ENDS_PROCESS = (
    "The connection to the plasma store is failed. Terminate the process",
    "the local Raylet is dead",
    "the local raylet failed",
)
LAST_LINES_BYTES = 4096


def supervise() -> None:
    """Continue in a grandchild of this process, which waits and exits with its code.

    Does nothing where the system lacks what it needs (macOS).
    """
    if not hasattr(signal, "sigtimedwait"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    watched: set[int] = {*FORWARDED}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        watched -= {signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*watched, *FORWARDED.values(), signal.SIGCHLD})
    Parent.facts, Parent.stack, started = os.memfd_create("facts"), os.memfd_create("stack"), os.getpid()
    _fork(signal.SIGCHLD, lambda child: _relay(child, watched))
    _fork(signal.SIGKILL, lambda child: _watch(child, watched, started))
    for original, number in FORWARDED.items():
        signal.signal(number, lambda *_, original=original: signal.raise_signal(original))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    Parent.pid = started
    atexit.register(notify, ended=True)


def _fork(at_death: int, wait: Callable[[int], NoReturn]) -> None:
    """Return in a child, which gets the signal `at_death` when this process dies; this process waits for the child."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    parent, child = os.getpid(), os.fork()
    if child:
        wait(child)
    libc.prctl(PR_SET_PDEATHSIG, at_death)
    if os.getppid() != parent:  # it has died already
        os._exit(1)


def _relay(watcher: int, watched: set[int]) -> NoReturn:
    """Pass signals on to the watcher and exit with its code; do its work if it is killed."""
    passed: dict[int, float] = {}
    while (status := _reap(watcher)) is None:
        received = signal.sigtimedwait({*watched, signal.SIGCHLD}, POLL_S)
        # a terminal sends its signals to the watcher and the run too; their code is positive
        if received is None or received.si_signo not in watched or received.si_code > 0:
            continue
        number, now = received.si_signo, time.monotonic()
        if now - passed.get(number, -TWICE_S) >= TWICE_S:
            os.kill(watcher, FORWARDED[signal.Signals(number)])
            passed[number] = now
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        kill_orphans()
        code = end_of(code, read_facts())
    os._exit(code)


def _watch(run: int, watched: set[int], parent: int) -> NoReturn:
    """Wait for the run, pass on the signals that it did not get from a terminal, and exit; end with the parent."""
    forwarded = {number: original for original, number in FORWARDED.items()}
    request, log = _Request(), _RayLog()
    while (status := _reap(run)) is None:
        received = signal.sigtimedwait({*watched, *forwarded, signal.SIGCHLD}, POLL_S)
        number = 0 if received is None else received.si_signo
        if number in forwarded:
            os.kill(run, number)
            request.add(forwarded[number])
        elif received is not None and number in watched and received.si_code > 0:  # a signal to the group comes twice
            request.add(number)
        if os.getppid() != parent:
            kill_orphans()
            os._exit(1)
        log.open(read_facts())
        if request.is_overdue(read_facts()):
            os.kill(run, signal.SIGKILL)
            os.waitpid(run, 0)
            code = end_unanswered(request.number, read_facts())
            break
    else:
        code = end_of(os.waitstatus_to_exitcode(status), read_facts(), is_by_ray=log.ends_process())
    end_orphans()
    os._exit(code)


class _Request:
    """The signals that asked a run to end.

    Attributes:
        number: the first one; 0 if there was none.
    """

    def __init__(self) -> None:
        self.number, self._since, self._again = 0, 0.0, False

    def add(self, number: int) -> None:
        """Count a signal; of the later ones only the same again matters."""
        now = time.monotonic()
        if not self.number:
            self.number, self._since = number, now
        elif number == self.number and not self._again:
            self._since, self._again = now, True

    def is_overdue(self, facts: dict[str, Any]) -> bool:
        """Return whether the run has not answered the first signal for too long, or not ended after the second one."""
        if not self.number:
            return False
        answered_s = 0.0 if self._again else facts.get("answered_s", 0.0)
        return time.monotonic() - max(self._since, answered_s) > (AGAIN_S if self._again else ANSWER_S)


class _RayLog:
    """The log of the run's process in Ray's folder, open because the folder is removed after the run's end."""

    def __init__(self) -> None:
        self._file: int | None = None

    def open(self, facts: dict[str, Any]) -> None:
        """Open it if the run has named it."""
        if self._file is None and "ray_log" in facts:
            with contextlib.suppress(OSError):  # Ray has ended
                self._file = os.open(facts["ray_log"], os.O_RDONLY)

    def ends_process(self) -> bool:
        """Return whether its last lines report that Ray ends the process because the raylet has died."""
        if self._file is None:
            return False
        start = max(0, os.fstat(self._file).st_size - LAST_LINES_BYTES)
        text = os.pread(self._file, LAST_LINES_BYTES, start).decode(errors="replace")
        return any(words in text for words in RAY_ENDS_PROCESS)


def _reap(child: int) -> int | None:
    """Collect what has ended of the run and of its orphans; return the run's status, or None while it runs."""
    with contextlib.suppress(ChildProcessError):  # there is none left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
    return None
