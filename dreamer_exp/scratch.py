"""What runs need outside of their directories: a temporary folder for Ray, shared memory, and a home for caches.

Imports neither ray nor torch.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dreamer_exp import leftovers
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock

PREFIX = "dexp_ray_"  # of Ray's folders in the temporary folder; short, because the paths of sockets are limited
JOB_PREFIX = "dexp_job_"  # of the temporary folders of a sweep's jobs
# a socket: FOLDER/PREFIX<8 hex>/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store, at most 103 bytes
LONGEST_BYTES = 103 - len(f"/{PREFIX}01234567/r/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"  # environment variable: the file of the token with which Ray's clients log in
SHARED_MEMORY = Path("/dev/shm")
REMOVE_S = 5.0  # Ray's processes write until they have ended


@contextmanager
def ray_folder(is_left: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """Make a private folder for one Ray, and remove it after the block.

    If this process is killed, a process that outlives it kills what is left of Ray and removes the folder. If that one
    was killed too, the next call removes the folder.

    Args:
        is_left: whether, at the end of the block, that process shall do the same when this one ends.

    Raises:
        UserError: there is no writable folder with a short path.
    """
    base = short_temporary_folder()
    _remove_abandoned(base)
    folder = base / f"{PREFIX}{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    with lock.held(folder, "runs Ray there", str(folder)), _cleaned_up_after_a_kill(folder, is_left):
        try:
            yield folder
        finally:
            if not is_left():
                _remove(folder)


def short_temporary_folder() -> Path:
    """Return the first writable folder for Ray's sockets: RAY_TMPDIR, TMPDIR, /tmp or /var/tmp.

    Raises:
        UserError: none has a path of at most LONGEST_BYTES and can be written.
    """
    named = [os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp"]
    candidates = [Path(name).absolute() for name in named if name]
    for folder in candidates:
        if len(os.fsencode(folder)) <= LONGEST_BYTES and _is_writable(folder):
            return folder
    raise UserError(
        f"Ray needs a temporary folder that can be written and whose path has at most {LONGEST_BYTES} bytes; tried "
        f"{', '.join(map(str, candidates))}: set RAY_TMPDIR to another one."
    )


def has_shared_memory() -> bool:
    """Return whether this machine has a usable /dev/shm."""
    return _is_writable(SHARED_MEMORY)


def diagnose() -> list[str]:
    """Return what is missing on this machine but does not stop a run, one line each with the remedy."""
    found = []
    if not has_shared_memory():
        found.append(
            f"{SHARED_MEMORY} is missing or cannot be written: Ray uses its temporary folder, which is slower, and "
            "sweeps need hydra/launcher=basic. In Docker: --shm-size=1g."
        )
    home = Path(os.path.expanduser("~"))
    if not _is_writable(home):
        found.append(
            f"HOME={home} cannot be written: caches (episodes of baselines, matplotlib, Triton) are not kept; set HOME "
            "to a folder that can."
        )
    return found


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def _cleaned_up_after_a_kill(folder: Path, is_left: Callable[[], bool]) -> Iterator[None]:
    """Have a process wait for the end of this one within the block, or later too, to clean up (leftovers.py)."""
    command = [sys.executable, "-I", "-S", leftovers.__file__, str(folder), str(os.getpid())]
    nothing = subprocess.DEVNULL
    # in a session of its own, so that it outlives a signal to all processes of this one's
    process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    try:
        yield
    finally:
        if not is_left():
            process.kill()
            process.wait()


def _remove_abandoned(base: Path) -> None:
    """Remove the folders of killed processes: those with a lock that nobody holds any more."""
    for folder in (*base.glob(f"{PREFIX}*"), *base.glob(f"{JOB_PREFIX}*")):
        try:
            if folder.lstat().st_uid == os.getuid() and lock.is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # removed by its own process meanwhile
            continue


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_S
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
