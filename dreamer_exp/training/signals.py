"""Ctrl-C, SIGTERM, SIGUSR1 and SIGUSR2 (a SLURM job's warnings): the first asks the loop to finish its update and
close; the same once more stops at once. Another one doesn't: SLURM sends SIGTERM soon after its warning."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class StopRequest:
    """Whether a signal has come, and which."""

    def __init__(self, first: Callable[[], None], at_once: Callable[[], None]) -> None:
        self.signal: int | None = None
        self._first = first
        self._at_once = at_once

    def __call__(self) -> bool:
        """Whether the run should stop."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 plus the signal's number, as shells report it: 130 for Ctrl-C, 143 for SIGTERM, 138 for
        SIGUSR1, 140 for SIGUSR2."""
        return 128 + (self.signal or 0)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.signal == number:
            self._at_once()
            os._exit(128 + number)  # not SystemExit: whatever hangs may hang in a finally block too
        if self.signal is None:
            self.signal = number
            self._first()

    def listen(self) -> None:
        """Takes the signals over; to be called again after ray.init, which takes SIGTERM for itself."""
        for number in SIGNALS:
            signal.signal(number, self.receive)


@contextmanager
def stop_on_signals(first: Callable[[], None], at_once: Callable[[], None]) -> Iterator[StopRequest]:
    """Catches the signals within the block; `first` is called when one comes, `at_once` when it comes again, just
    before the process ends."""
    request = StopRequest(first, at_once)
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    request.listen()
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
