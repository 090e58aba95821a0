"""The processes that a run, or an environment of it, started and left."""

import contextlib
import time

import psutil

from dreamer_exp import leftovers
from dreamer_exp.cli.unreported_end import print_line

SERVERS = ("multiprocessing.forkserver", "multiprocessing.resource_tracker")  # end with the process that started them
PATIENCE_S = 3.0  # with processes that outlive the run: Ray's end by themselves


def end_orphans() -> None:
    """End the processes that the run has left, with a line unless they end soon by themselves."""
    deadline = time.monotonic() + PATIENCE_S
    while left := _orphans():
        if time.monotonic() > deadline:
            if foreign := [name for each in left if (name := _foreign_name(each))]:
                those = ", ".join(sorted(set(foreign)))
                print_line(
                    f"the run left {len(foreign)} process{'es' if len(foreign) > 1 else ''} ({those}), now killed"
                )
            kill_orphans()
            return
        time.sleep(0.05)


def kill_orphans() -> None:
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


def _foreign_name(process: psutil.Process) -> str | None:
    """Return the name of a process that does not end by itself; None for Ray's and Python's, which may end late."""
    try:
        name, command = process.name(), " ".join(process.cmdline())
    except psutil.Error:  # it has ended
        return None
    return None if name.startswith("ray::") or any(server in command for server in SERVERS) else name
