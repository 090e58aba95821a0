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
GIVE_UP_S = 120.0  # longer than a job of a sweep takes to end after the death of the Ray that it shares
DRIVER_LOG = "python-core-driver-"  # of a process that has called ray.init


def clean_up(folder: str, parent: int) -> None:
    """Wait for the end of the parent; then kill the processes of the folder and remove it.

    Programs that use this Ray, the jobs of a sweep, are not killed: they write their checkpoints first.
    """
    folder = os.path.realpath(folder)
    while os.getppid() == parent:
        time.sleep(POLL_S)
    deadline = time.monotonic() + GIVE_UP_S
    while time.monotonic() < deadline:
        left = writers(folder)
        for pid, files in left.items():
            if not any(os.path.basename(file).startswith(DRIVER_LOG) for file in files):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not left:
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.exists(folder):
                return
        time.sleep(POLL_S / 2)


def writers(folder: str) -> dict[int, list[str]]:
    """Return the processes of this user that have files in the folder open for writing, with these files.

    They are Ray's, with their logs, and what env runners have started. A program that shows a log only reads it. A file
    that was removed has its path still.
    """
    written = {int(name): _written(name, f"{folder}/") for name in os.listdir("/proc") if name.isdigit()}
    return {pid: files for pid, files in written.items() if files}


def _written(pid: str, prefix: str) -> list[str]:
    files = []
    # suppressed: the process has ended, or is another user's
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for each in descriptors:
            with contextlib.suppress(OSError):  # closed meanwhile
                target = os.readlink(each)
                if target.startswith(prefix) and os.lstat(each).st_mode & stat.S_IWUSR:
                    files.append(target)
    return files


if __name__ == "__main__":
    clean_up(sys.argv[1], int(sys.argv[2]))
