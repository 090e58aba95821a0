"""The parent process of a run: it reports an end that the run itself cannot report.

`os._exit` in an environment, a crash in native code and the kernel's out-of-memory killer end a process at once, some
with exit code 0. So the run is a child of the process that the user started, which waits for it, passes on signals, and
exits with its code. An end that the child did not announce is printed, recorded in status.json, and exit code 1.
Processes that an environment started and left are ended too.
"""

import atexit
import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import psutil

from dreamer_exp import leftovers
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import Parent, killed_by
from dreamer_exp.rundir.reader import read_tree
from dreamer_exp.rundir.status import read_status, write_missing_end
from dreamer_exp.training.signals import FORWARDED

PR_SET_PDEATHSIG = 1  # of prctl(2)
PR_SET_CHILD_SUBREAPER = 36  # orphans below this process become its children
POLL_S = 1.0
PATIENCE_S = 3.0  # with processes that outlive the run: Ray's end by themselves


class Pipe:
    """The pipe from a run to its parent."""

    writer: int | None = None


def supervise() -> None:
    """Continue in a child process; this process waits for it and exits with its code.

    Does nothing where the system lacks what it needs (macOS).
    """
    if not hasattr(signal, "sigtimedwait"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    watched: set[int] = {*FORWARDED}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
        watched -= {signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*watched, signal.SIGCHLD})
    reader, writer = os.pipe()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    parent, child = os.getpid(), os.fork()
    if child:
        os.close(writer)
        _wait_and_exit(child, reader, watched)
    os.close(reader)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died already
        os._exit(1)
    for original, number in FORWARDED.items():
        signal.signal(number, lambda *_, original=original: signal.raise_signal(original))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    Pipe.writer, Parent.pid = writer, parent
    atexit.register(notify, ended=True)


def notify(**facts: Any) -> None:
    """Send facts to the parent, if there is one.

    Args:
        facts: `env`, what messages call the environment; `root`, the run's directory; `ended`, that this process ends
            by itself.
    """
    if Pipe.writer is not None:
        with contextlib.suppress(OSError):  # an environment has closed the descriptor
            os.write(Pipe.writer, json.dumps(facts).encode() + b"\n")


def _wait_and_exit(child: int, reader: int, watched: set[int]) -> NoReturn:
    """Wait for the child, pass on the signals that only this process got, and exit."""
    while True:
        received = signal.sigtimedwait({*watched, signal.SIGCHLD}, POLL_S)
        status = _reap(child)
        if status is not None:
            break
        # a terminal sends its signals to the child too; their code is positive
        if received is not None and received.si_signo in watched and received.si_code <= 0:
            os.kill(child, FORWARDED[signal.Signals(received.si_signo)])
    os.set_blocking(reader, False)
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):  # nothing was announced
        for line in os.read(reader, 1 << 16).splitlines():
            facts |= json.loads(line)
    code = _end(os.waitstatus_to_exitcode(status), facts)
    _end_orphans()
    os._exit(code)


def _reap(child: int) -> int | None:
    """Collect what has ended of the run and of its orphans; return the run's status, or None while it runs."""
    with contextlib.suppress(ChildProcessError):  # there is none left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
    return None


def _end_orphans() -> None:
    """End the processes that the run has left, except the one that cleans up after Ray."""
    deadline = time.monotonic() + PATIENCE_S
    while left := [each for each in psutil.Process().children(recursive=True) if not _is_excepted(each)]:
        if time.monotonic() > deadline:
            names = [each.name() for each in left if each.is_running()]
            if foreign := [name for name in names if not name.startswith("ray::")]:  # these end late without raylet
                those = ", ".join(sorted(set(foreign)))
                _print(f"the run left {len(foreign)} process{'es' if len(foreign) > 1 else ''} ({those}), now killed")
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            psutil.wait_procs(left, timeout=1.0)
            return
        time.sleep(0.05)


def _is_excepted(process: psutil.Process) -> bool:
    """Return whether a process may outlive the run: it has ended, or cleans up after Ray."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or leftovers.__file__ in process.cmdline()
    except psutil.Error:
        return True


def _end(code: int, facts: dict[str, Any]) -> int:
    """Return the exit code for the child's; print and record an end that it did not announce."""
    if -code in FORWARDED:  # before its handlers were in place
        return 128 - code
    root = Path(facts["root"]) if "root" in facts else None
    status = read_status(root) if root else {}
    by_itself = facts.get("ended", False) or (code > 128 and status.get("state") != "running")
    if by_itself and code == 0 and root and read_tree(RunDirectory(root).summary).get("state") != "finished":
        _print(f"exit code 1: {RunDirectory(root).summary} does not say that the run has finished")
        return 1
    if by_itself and code >= 0:
        return code
    how = killed_by(code) or f"exit code {code} without the run's end"
    line = f"{how}: {facts.get('env', 'the environment')} or a library ended the process, which wrote no more"
    if root:
        write_missing_end(root, "failed", line)
    _print(f"{line} (run: {root})" if root else line)
    return 1


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        print(f"dreamer_exp: {line}", file=sys.stderr, flush=True)
