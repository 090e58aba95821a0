"""The other processes that a run needs: Ray's raylet and GCS server, env runners, learners. A death is named at once.

Ray itself reports a dead raylet after 15 seconds, and a dead GCS server never: after a minute it ends the process.
"""

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from dreamer_exp.rundir.processes import start_of

POLL_S = 0.25
SEEN_S = 2.0  # Ray may see a death first
INTERRUPT = signal.SIGURG  # to our own main thread while it waits for Ray; without a handler it has no effect


ENV_RUNNER = "env runner"  # beginning of the name of one
CAUSES = "killed, out of memory, or crashed"
ENV_RUNNER_CAUSES = "killed, out of memory, crashed, or ended by its environment (os._exit)"


class ProcessDied(Exception):
    """A process that the run needs has ended; the message names it. Ray cannot be shut down after that."""


class ProcessWatch:
    """Watch of processes of this host, by number, from `start` to `stop`. Without `start` it only answers `check`."""

    def __init__(self) -> None:
        self.death: str | None = None  # names the first process that ended; the watch looks every POLL_S
        self._names: dict[int, str] = {}
        self._is_waiting = False
        self._stopped = threading.Event()

    def add(self, processes: Iterable[tuple[int, str]]) -> None:
        """Watch these processes too: number and name of each."""
        self._names |= dict(processes)

    def remove(self, processes: Iterable[tuple[int, str]]) -> None:
        """Watch these processes no longer, because they are about to end."""
        ending = dict(processes)
        self._names = {pid: name for pid, name in self._names.items() if pid not in ending}

    def start(self) -> None:
        """Begin to interrupt the main thread when a process ends while it waits for Ray; call it there."""
        signal.signal(INTERRUPT, self._interrupt)
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Look once more, and end the watch: Ray's processes may end now."""
        self.has_death()
        self._names = {}
        self._stopped.set()

    def has_death(self) -> bool:
        """Look whether a process has ended."""
        if self.death is None:
            names = self._names  # another thread may replace it
            dead = next((pid for pid in list(names) if start_of(pid) is None), None)
            if dead is not None:
                causes = ENV_RUNNER_CAUSES if names[dead].startswith(ENV_RUNNER) else CAUSES
                self.death = f"{names[dead]} (process {dead}) has ended: {causes}"
        return self.death is not None

    def check(self) -> None:
        """Raise ProcessDied if a process has ended."""
        if self.has_death():
            raise ProcessDied(self.death)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Raise ProcessDied before or within the block, which waits for Ray, as soon as a process has ended."""
        self.check()
        is_main, before = threading.current_thread() is threading.main_thread(), self._is_waiting
        if is_main:  # the one that is interrupted; another thread, which samples, may wait at the same time
            self._is_waiting = True
        try:
            yield
        except (Exception, KeyboardInterrupt):
            if is_main:
                self._is_waiting = False
            self.check_soon()
            raise
        finally:
            if is_main:
                self._is_waiting = before

    def check_soon(self) -> None:
        """Raise ProcessDied if a process has ended, or ends within SEEN_S: Ray's error came first."""
        deadline = time.monotonic() + (SEEN_S if self._names else 0.0)
        while not self.has_death() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.check()

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_S):
            if self.has_death() and self._is_waiting:
                signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting:
            raise KeyboardInterrupt  # the only exception that Ray lets through
