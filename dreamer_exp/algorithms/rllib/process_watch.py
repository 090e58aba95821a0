"""The other processes that a run needs: Ray's raylet and GCS server, env runners, learners. A death is named at once.

After a request to stop, an environment that hangs does not make the run wait for it, in an env runner or here.

Ray itself reports a dead raylet after 15 seconds, and a dead GCS server never: after a minute it ends the process.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from dreamer_exp.envs.boundary import DoesNotReturn, MainThread
from dreamer_exp.rundir.processes import notify, start_of

POLL_S = 0.25
SEEN_S = 2.0  # Ray may see a death first
PATIENCE_S = 10.0  # for the answer of env runners after a request to stop: more than most fragments take
INTERRUPT = signal.SIGURG  # to our own main thread while it waits for Ray; without a handler it has no effect


ENV_RUNNER = "env runner"  # beginning of the name of one
CAUSES = "killed, out of memory, or crashed"
ENV_RUNNER_CAUSES = "killed, out of memory, crashed, or ended by its environment (os._exit)"


def death_of(pid: int, name: str) -> str:
    """Return the words for the death of a process."""
    return f"{name} (process {pid}) has ended: {ENV_RUNNER_CAUSES if name.startswith(ENV_RUNNER) else CAUSES}"


class ProcessDied(Exception):
    """A process that the run needs has ended; the message names it. Ray cannot be shut down after that."""


class NoAnswer(Exception):
    """The env runners did not answer in time after a request to stop."""


class ProcessWatch:
    """Watch of processes of this host, by number, from `start` to `stop`. Without `start` it only answers `check`.

    Attributes:
        death: names the first process that ended; the watch looks every POLL_S.
        gave_up: whether an env runner or environment did not answer within PATIENCE_S after a request to stop.
        should_stop: whether a stop is requested.
    """

    def __init__(self) -> None:
        self.death: str | None = None
        self.gave_up = False
        self.should_stop: Callable[[], bool] = lambda: False
        self._names: dict[int, str] = {}
        self._is_waiting = False
        self._patient = True  # about what the main thread waits for
        self._waits_since = 0.0
        self._stop_seen_at: float | None = None
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
                self.death = death_of(dead, names[dead])
                notify(died=self.death)  # Ray may end this process before it reports the death itself
        return self.death is not None

    def check(self) -> None:
        """Raise ProcessDied if a process has ended."""
        if self.has_death():
            raise ProcessDied(self.death)

    @property
    def is_broken(self) -> bool:
        """Whether something has died or does not answer, for which an orderly exit of this process would wait."""
        return self.death is not None or self.gave_up

    @contextmanager
    def waiting(self, patient: bool = False) -> Iterator[None]:
        """Wait for Ray in the block.

        Args:
            patient: wait for as long as it takes after a request to stop too.

        Raises:
            ProcessDied: a process has ended, before or within the block.
            NoAnswer: a stop was requested, and the block has lasted for PATIENCE_S since.
        """
        self.check()
        is_main, before = threading.current_thread() is threading.main_thread(), (self._is_waiting, self._patient)
        if is_main:  # the one that is interrupted; another thread, which samples, may wait at the same time
            self._waits_since, self._patient, self._is_waiting = time.monotonic(), patient, True
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if is_main:
                self._is_waiting = False
            if is_main and isinstance(error, KeyboardInterrupt) and not self.has_death() and self._is_out_of_patience():
                self.gave_up = True
                raise NoAnswer(f"no answer of the env runners for {PATIENCE_S:.0f} s") from error
            self.check_soon()
            raise
        finally:
            if is_main:
                self._is_waiting, self._patient = before

    def check_soon(self) -> None:
        """Raise ProcessDied if a process has ended, or ends within SEEN_S: Ray's error came first."""
        deadline = time.monotonic() + (SEEN_S if self._names else 0.0)
        while not self.has_death() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.check()

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_S):
            if self._stop_seen_at is None and self.should_stop():
                self._stop_seen_at = time.monotonic()
            has_death = self.has_death()
            is_waiting_in_vain = self._is_waiting and (has_death or self._is_out_of_patience())
            if is_waiting_in_vain or self._hanging_call() is not None:
                signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    def _is_out_of_patience(self) -> bool:
        if self._stop_seen_at is None or self._patient:
            return False
        return time.monotonic() - max(self._stop_seen_at, self._waits_since) > PATIENCE_S

    def _hanging_call(self) -> str | None:
        """Return the main thread's call of an environment if it has lasted too long after a request to stop."""
        call, stop_seen_at = MainThread.call, self._stop_seen_at
        if call is None or stop_seen_at is None:
            return None
        return call.name if time.monotonic() - max(stop_seen_at, call.since) > PATIENCE_S else None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting:
            raise KeyboardInterrupt  # the only exception that Ray lets through
        if (hanging := self._hanging_call()) is not None:
            self.gave_up = True
            raise DoesNotReturn(f"{hanging} did not return for {PATIENCE_S:.0f} s")
