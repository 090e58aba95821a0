"""Processes: which one a run is known by, whether a recorded one still exists, and how this one exits."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from typing import Any, NoReturn

import psutil

TOLERANCE_S = 2.0  # the recorded start moves with corrections of the machine's clock


class Parent:
    """The process that the user started, of which this one is a child (cli/supervisor.py).

    Attributes:
        pid: its number; None if the user started this process.
        facts: descriptor of a file in memory that it reads: what `notify` reported.
        stack: the same for Python's stack at a crash in native code.
    """

    pid: int | None = None
    facts: int | None = None
    stack: int | None = None


def notify(**facts: Any) -> None:
    """Report facts to the process that the user started, if it is another one.

    Args:
        facts: `env`, what messages call the environment; `root`, the run's directory; `answered_s`, when it answered a
            signal; `died`, which other process has ended; `ray_log` and `ray_died`, where Ray logs that it ends this
            process, and which death that is; `ended`, that this process ends by itself.
    """
    if Parent.facts is not None:
        with contextlib.suppress(OSError):  # an environment has closed the descriptor
            os.write(Parent.facts, json.dumps(facts).encode() + b"\n")


def keep_answering() -> None:
    """Report every second from now on that this process runs Python, not native code that blocks it."""

    def answer() -> None:
        while True:
            notify(answered_s=time.monotonic())
            time.sleep(1.0)

    if Parent.facts is not None:
        threading.Thread(target=answer, daemon=True).start()


def own_pid() -> int:
    """Return the number of the process that the user started, to which signals are sent."""
    return os.getpid() if Parent.pid is None else Parent.pid


def killed_by(code: int) -> str | None:
    """Return the words for a process that a signal ended: `killed by SIGSEGV`; None if it exited.

    Args:
        code: the exit code as `subprocess` gives it: for a signal, its negative number.
    """
    if code >= 0:
        return None
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"  # SIGRTMIN+1 has no name
    return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


def leave(code: int, ended: object) -> NoReturn:
    """Exit with a code: at once, without Python's exit hooks, if those would hang after this end of a run.

    Args:
        code: the exit code.
        ended: the exception that ended the run; `monitoring.record` describes `hangs_at_exit`.
    """
    if getattr(ended, "hangs_at_exit", False):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def own_start() -> float:
    """Return when that process was created, in seconds since 1970."""
    return float(psutil.Process(own_pid()).create_time())


def start_of(pid: object) -> float | None:
    """Return when a process of this host was created, in seconds since 1970; None if there is none.

    Numbers of processes are reused, so the start distinguishes two processes. A zombie has ended. `pid`, from a
    file, may be anything.
    """
    if not isinstance(pid, int):
        return None
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else float(found.create_time())
    except (psutil.Error, ValueError, OverflowError):  # no number that a process can have
        return None


def is_running(pid: object, started: float) -> bool:
    """Return whether this host has a process `pid` that was created at `started`, seconds since 1970."""
    created = start_of(pid)
    return created is not None and abs(created - started) <= TOLERANCE_S
