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
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import psutil

from dreamer_exp import leftovers
from dreamer_exp.rundir.atomic import write_bytes
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import Parent, killed_by, notify
from dreamer_exp.rundir.reader import last_row, read_tree
from dreamer_exp.rundir.status import read_status, write_missing_end
from dreamer_exp.training.signals import FORWARDED

PR_SET_PDEATHSIG = 1  # of prctl(2)
PR_SET_CHILD_SUBREAPER = 36  # orphans below this process become its children
POLL_S = 1.0
SERVERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")  # end with the process that started them
PATIENCE_S = 3.0  # with processes that outlive the run: Ray's end by themselves
ANSWER_S = 30.0  # for a run to answer a signal: native code delays it, as when large arrays are written
AGAIN_S = 3.0  # for a run to end after the same signal again
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
    while (status := _reap(watcher)) is None:
        received = signal.sigtimedwait({*watched, signal.SIGCHLD}, POLL_S)
        # a terminal sends its signals to the watcher and the run too; their code is positive
        if received is not None and received.si_signo in watched and received.si_code <= 0:
            os.kill(watcher, FORWARDED[signal.Signals(received.si_signo)])
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _kill_orphans()
        code = _end(code, _read_facts())
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
            _kill_orphans()
            os._exit(1)
        log.open(_read_facts())
        if request.is_overdue(_read_facts()):
            os.kill(run, signal.SIGKILL)
            os.waitpid(run, 0)
            code = _end_unanswered(request.number, _read_facts())
            break
    else:
        code = _end(os.waitstatus_to_exitcode(status), _read_facts(), is_by_ray=log.ends_process())
    _end_orphans()
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


def _read_facts() -> dict[str, Any]:
    """Return what the run has reported with `notify`."""
    facts: dict[str, Any] = {}
    for line in _content(Parent.facts).splitlines():
        with contextlib.suppress(ValueError):  # cut by the run's end
            facts |= json.loads(line)
    return facts


def _reap(child: int) -> int | None:
    """Collect what has ended of the run and of its orphans; return the run's status, or None while it runs."""
    with contextlib.suppress(ChildProcessError):  # there is none left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                return ended[1]
    return None


def _end_orphans() -> None:
    """End the processes that the run has left, with a line unless they end soon by themselves."""
    deadline = time.monotonic() + PATIENCE_S
    while left := _orphans():
        if time.monotonic() > deadline:
            if foreign := [name for each in left if (name := _foreign_name(each))]:
                those = ", ".join(sorted(set(foreign)))
                _print(f"the run left {len(foreign)} process{'es' if len(foreign) > 1 else ''} ({those}), now killed")
            _kill_orphans()
            return
        time.sleep(0.05)


def _kill_orphans() -> None:
    """Kill the processes that the run has left, those too that they start meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while (left := _orphans()) and time.monotonic() < deadline:
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(left, timeout=0.5)


def _orphans() -> list[psutil.Process]:
    """Return the processes below this one, except the one that cleans up after Ray."""
    return [each for each in psutil.Process().children(recursive=True) if not _is_excepted(each)]


def _is_excepted(process: psutil.Process) -> bool:
    """Return whether a process may outlive the run: it has ended, or cleans up after Ray."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or leftovers.__file__ in process.cmdline()
    except psutil.Error:
        return True


def _end_unanswered(number: int, facts: dict[str, Any]) -> int:
    """Record and print the end of a run that was killed because it did not answer a signal; return its exit code."""
    name = signal.Signals(number).name
    line = f"no answer to {name}, killed: {facts.get('env', 'the environment')} or a library does not return"
    if "root" in facts:
        _write_end(Path(facts["root"]), "interrupted", line)
        line += f" (run: {facts['root']}, as of its last checkpoint)"
    _print(line)
    return 128 + number


def _write_end(root: Path, state: str, line: str) -> None:
    """Record the end that the run could not write, and write its page if it has rows."""
    write_missing_end(root, state, line)
    if last_row(RunDirectory(root).result):
        from dreamer_exp.report.page import try_write_page  # jinja2 and numpy, which this process else does without

        try_write_page(root)


def _foreign_name(process: psutil.Process) -> str | None:
    """Return the name of a process that does not end by itself; None for Ray's and Python's, which may end late."""
    try:
        name, command = process.name(), " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return None
    return None if name.startswith("ray::") or any(server in command for server in SERVERS) else name


def _end(code: int, facts: dict[str, Any], is_by_ray: bool = False) -> int:
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
    # if Ray has ended the process, in a call that it was in, the death may be unseen
    if death := facts.get("died") or (facts["ray_died"] if is_by_ray and code == 1 else None):
        return _end_after(death, root)
    how = killed_by(code) or f"exit code {code} without the run's end"
    line = f"{how}: {facts.get('env', 'the environment')} or a library ended the process, which wrote no more"
    if root:
        where = _where(root)
        _write_end(root, "failed", line)
        line += f" ({where})"
    _print(line)
    return 1


def _end_after(death: str, root: Path | None) -> int:
    """Record and print the end of a run after the death of a process that it needs; return its exit code."""
    line = f"{death}; the run then ended at once and wrote no more"
    if root:
        write_missing_end(root, "failed", line, "ProcessDied")
    _print(f"ProcessDied: {line} ({_where(root)})" if root else f"ProcessDied: {line}")
    return 1


def _content(file: int | None) -> bytes:
    return b"" if file is None else os.pread(file, os.fstat(file).st_size, 0)


def _where(root: Path) -> str:
    """Return a run's directory for a line; after a crash in native code, write its stack there and return the file."""
    path, stack = RunDirectory(root).error, _content(Parent.stack)
    if stack:
        with contextlib.suppress(OSError):
            write_bytes(path, stack)
            return f"traceback: {path}"
    return f"run: {root}"


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        print(f"dreamer_exp: {line}", file=sys.stderr, flush=True)
