"""One process a run directory: a lock that a process holds on a directory for the rest of its life.

The lock is an flock on the file `.lock`, which the kernel releases when the process ends, however it ends. The file
names its last holder. Where the file system has no flock, the holder counts as alive while its process exists.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from errno import EACCES, EAGAIN, ENOLCK, ENOSYS, EOPNOTSUPP
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import now_utc
from dreamer_exp.rundir.parse import parse_object
from dreamer_exp.rundir.plain_file import read_plain
from dreamer_exp.rundir.processes import is_running, own_pid, own_start

NAME = ".lock"
WAIT_S = 1.0  # a holder that has just started may not have written its name yet
POLL_S = 0.05
TAKEN = {EACCES, EAGAIN}
NO_FLOCK = {ENOLCK, ENOSYS, EOPNOTSUPP}

TRAINS, SWEEPS, UPLOADS = "trains there", "runs the sweep there", "uploads its W&B data"
BENCHMARKS = "runs the benchmark there"


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock.

    Attributes:
        host: its machine.
        pid: its number there.
        process_started: when the process was created, in seconds since 1970; numbers of processes are reused.
        since_utc: when it took the lock.
        activity: what it does, as "trains there".
    """

    host: str
    pid: int
    process_started: float
    since_utc: str
    activity: str

    @classmethod
    def this_process(cls, activity: str) -> "Holder":
        """Return the record of this process, as the user knows it."""
        return cls(socket.gethostname(), own_pid(), own_start(), now_utc(), activity)

    @property
    def is_alive(self) -> bool:
        """Return whether the process exists; assume so on another host."""
        return self.host != socket.gethostname() or is_running(self.pid, self.process_started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, which {self.activity} since {self.since_utc}"


MAX_RECORD_BYTES = 2**16
_held: dict[tuple[int, int], int] = {}  # descriptor of each lock that this process holds, by device and inode


def hold(folder: Path, activity: str, key: str) -> None:
    """Take the lock of a folder until this process ends; do nothing if this process has it.

    Args:
        folder: an existing directory.
        activity: what this process does there, as "trains there".
        key: how the user named the folder, as `resume=outputs/run`; the message begins with it.

    Raises:
        UserError: another process has it, or the folder cannot be written.
    """
    with _writable(folder, key):
        descriptor = _open(folder)
        inode = _inode(descriptor)
        if inode in _held:
            os.close(descriptor)
        elif _take(descriptor, folder):
            _held[inode] = descriptor
            _write(descriptor, Holder.this_process(activity))
        else:
            os.close(descriptor)
            raise _taken(folder, key)


def take(folder: Path, activity: str, key: str, *, dry_run: bool) -> None:
    """Hold the lock, or for a dry run only check it; raises UserError as `hold`."""
    if dry_run:
        refuse_held(folder, key)
    else:
        hold(folder, activity, key)


@contextmanager
def held(folder: Path, activity: str, key: str) -> Iterator[None]:
    """Hold the lock of a folder within the block; raises UserError as `hold`."""
    before = set(_held)
    hold(folder, activity, key)
    try:
        yield
    finally:
        for inode in set(_held) - before:
            os.close(_held.pop(inode))


def refuse_held(folder: Path, key: str) -> None:
    """Raise UserError if another process has the lock of a folder; take and write nothing."""
    if is_held(folder):
        raise _taken(folder, key)


def is_held(folder: Path) -> bool:
    """Return whether another process has the lock of a folder."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # never taken
        return False
    try:
        return _inode(descriptor) not in _held and not _try(descriptor, folder, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def is_abandoned(folder: Path) -> bool:
    """Return whether a folder's lock was taken once and no process, this one included, has it.

    A lock without a record is about to be taken: its file exists before it is locked.
    """
    try:
        found = os.lstat(folder / NAME)
    except OSError:
        return False
    recorded = holder_of(folder) is not None
    return recorded and (found.st_dev, found.st_ino) not in _held and not is_held(folder)


def holder_of(folder: Path) -> Holder | None:
    """Return the last holder of a folder's lock as recorded, dead or alive; None if the record cannot be read."""
    try:
        tree = parse_object(read_plain(folder / NAME, MAX_RECORD_BYTES))
        return Holder(**tree) if tree else None
    except (OSError, TypeError):
        return None


def _open(folder: Path) -> int:
    while True:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # removed between the two calls


def _take(descriptor: int, folder: Path) -> bool:
    """Take the lock; wait while its holder is unknown or dead: one that starts, or a reader that checks the lock."""
    deadline = time.monotonic() + WAIT_S
    while not _try(descriptor, folder, fcntl.LOCK_EX):
        recorded = holder_of(folder)
        if (recorded is not None and recorded.is_alive) or time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _try(descriptor: int, folder: Path, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno not in NO_FLOCK:
            raise
        recorded = holder_of(folder)
        return recorded is None or not recorded.is_alive
    return True


def _write(descriptor: int, holder: Holder) -> None:
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, (json.dumps(asdict(holder)) + "\n").encode(), 0)


def _taken(folder: Path, key: str) -> UserError:
    deadline = time.monotonic() + WAIT_S
    while (recorded := holder_of(folder)) is None or not recorded.is_alive:
        if time.monotonic() > deadline:
            return UserError(f"{key}: another process works in {folder}; wait until it has ended, or stop it.")
        time.sleep(POLL_S)
    return UserError(f"{key}: in use by {recorded}; wait until it has ended, or stop it.")


def _inode(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


@contextmanager
def _writable(folder: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{key}: {folder / NAME} cannot be written ({error.strerror}).") from error


def _forget() -> None:
    """Close the descriptors in a forked child, which would otherwise keep the locks when this process has died."""
    for descriptor in _held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
