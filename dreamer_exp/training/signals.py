"""Signals: the first one asks a run to stop after its update, the same one again ends it at once.

Handled are Ctrl-C, SIGTERM, SIGHUP of a closing terminal, and SIGUSR1 and SIGUSR2, with which SLURM warns a job. A
second signal of another kind is ignored, because SLURM sends SIGTERM soon after its warning. Under nohup, SIGHUP stays
ignored.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dreamer_exp.config.errors import Interrupt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Signals as which the parent of a run forwards a signal (cli/supervisor.py). A signal to the process group reaches the
# run twice, and must not count as sent again. Empty on macOS, which lacks these signals and where a run has no parent.
FORWARDED = {number: signal.SIGRTMIN + place for place, number in enumerate(SIGNALS) if hasattr(signal, "SIGRTMIN")}
_ORIGINAL = {forwarded: number for number, forwarded in FORWARDED.items()}


class EndedBySignal(Interrupt):
    """The end of a command that a signal asked for; it passes what handles each Exception, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def raise_on_signals() -> None:
    """Let all signals end this process as Ctrl-C does, by an exception, so that nothing is left of what it began.

    Signals that are ignored, as SIGHUP under nohup, stay ignored.
    """
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if not is_forked(owner, number):
            raise EndedBySignal(number)

    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)


def is_forked(owner: int, number: int) -> bool:
    """Return whether this process is a forked child of `owner`, and give the signal its default effect if it is.

    Environments fork workers, which inherit the handlers, and end them by SIGTERM. Ctrl-C, which a terminal sends to
    them too, has no effect there: the run decides when its environments end.
    """
    if os.getpid() == owner:
        return False
    if _ORIGINAL.get(number, number) != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    return True


class StopRequest:
    """Request to stop, made by a signal.

    Args:
        first: called when the first signal comes.
        at_once: called when the same signal comes again, just before the process ends.
    """

    def __init__(self, first: Callable[[], None], at_once: Callable[[], None]) -> None:
        self.signal: int | None = None
        self._owner = os.getpid()
        self._received: Counter[int] = Counter()
        self._first = first
        self._at_once = at_once

    def __call__(self) -> bool:
        """Return whether the run should stop."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """Return 128 plus the signal's number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 138 for SIGUSR1."""
        return 128 + (self.signal or 0)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, or the one that stands for it in FORWARDED."""
        if is_forked(self._owner, number):
            return
        original = _ORIGINAL.get(number, number)
        self._received[number] += 1
        if self.signal == original and self._received[number] > 1:
            self._at_once()
            os._exit(128 + original)  # not SystemExit, because a finally block could hang as well
        if self.signal is None:
            self.signal = original
            self._first()

    def listen(self) -> None:
        """Install the handlers; call it again after ray.init, which installs its own for SIGTERM."""
        for number in (*SIGNALS, *_ORIGINAL):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.receive)

    def is_listening(self) -> bool:
        """Return whether SIGTERM is handled here, so that it raises no SystemExit."""
        return signal.getsignal(signal.SIGTERM) == self.receive


@contextmanager
def stop_on_signals(first: Callable[[], None], at_once: Callable[[], None]) -> Iterator[StopRequest]:
    """Handle the signals within the block, and restore the previous handlers after it; yield the request to stop."""
    request = StopRequest(first, at_once)
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (*SIGNALS, *_ORIGINAL)}
    request.listen()
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
