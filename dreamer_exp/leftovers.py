"""The end of a Ray whose process was killed: kill what is left of it, and remove its folder.

Started as `python -I -S leftovers.py FOLDER PARENT` by the process PARENT, whose end it waits for. Ray's agents would
otherwise outlive it by more than a minute. Imports only the standard library, so that it is small.
"""

import contextlib
import os
import shutil
import signal
import stat
import sys
import time

POLL_S = 0.2
GIVE_UP_S = 10.0


def clean_up(folder: str, parent: int) -> None:
    """Wait for the end of the parent; then kill the processes of the folder and remove it."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    deadline = time.monotonic() + GIVE_UP_S
    while os.path.exists(folder) and time.monotonic() < deadline:
        left = writers(folder)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(POLL_S / 2)


def writers(folder: str) -> list[int]:
    """Return the processes of this user that have a file in the folder open for writing.

    They are Ray's, with their logs, and what env runners have started. A program that shows a log only reads it.
    """
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _writes(name, f"{folder}/")]


def _writes(pid: str, prefix: str) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as files:
            return any(os.readlink(each).startswith(prefix) and os.lstat(each).st_mode & stat.S_IWUSR for each in files)
    except OSError:  # it has ended, or is another user's
        return False


if __name__ == "__main__":
    clean_up(sys.argv[1], int(sys.argv[2]))
