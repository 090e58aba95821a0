"""What a run writes while it lives: rows, status and summary, to its files and its tracker. A full disk is survived."""

import logging
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any

from dreamer_exp.config.errors import UserError, first_line, typed_line
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.monitoring import summary as report
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.rundir import provenance
from dreamer_exp.rundir.atomic import append_row, write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.tracking.tracker import NoTracker, Tracker

STATUS_EVERY_S = 2.0
NO_MESSAGE = "without a message"
FAILED_WRITES = 3  # in a row, that end the run

log = logging.getLogger(__name__)


class RunFailed(Exception):
    """The run failed, is recorded as failed, and its traceback lies in its error.txt."""


class DiskFailed(Exception):
    """Nothing could be written, several times in a row."""


class Attempts:
    """Writes of one kind: one that fails costs a warning, FAILED_WRITES in a row raise DiskFailed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failed = 0

    def __call__(self, write: Callable[[], None]) -> bool:
        """Whether it was written."""
        try:
            write()
        except OSError as error:
            self._failed += 1
            if self._failed == FAILED_WRITES:
                told = f"{self._what} could not be written {FAILED_WRITES} times in a row: {error}"
                raise DiskFailed(told) from error
            log.warning("%s could not be written (%s); what is on the disk stays as it is", self._what, error)
            return False
        self._failed = 0
        return True


class Record:
    """One run's files, but for checkpoints."""

    def __init__(self, directory: RunDirectory, experiment: Experiment, counters: Counters, started_utc: str) -> None:
        self.directory, self.experiment, self.counters = directory, experiment, counters
        self.started_utc = started_utc
        self.tracker: Tracker = NoTracker()
        self._waiting: list[dict[str, Any]] = []  # rows that the disk hasn't taken yet
        self._rows, self._evaluations = Attempts("result.jsonl"), Attempts("evaluation.jsonl")
        self._status = Attempts("status.json")
        self._last_status = 0.0  # monotonic seconds

    def row(self, row: dict[str, Any]) -> None:
        """One iteration's row; one that the disk refuses is written with the next."""
        self.tracker.log(row, self.counters.env_steps)
        self._waiting.append(row)
        self._rows(self._write_waiting)
        self._refresh_status()

    def evaluation(self, row: dict[str, Any]) -> None:
        """One evaluation's row."""
        self._evaluations(lambda: append_row(self.directory.evaluation, row))
        figures = {f"evaluation/{row['policy']}/{name}": value for name, value in report.without_outcomes(row).items()}
        self.tracker.log(figures, self.counters.env_steps)

    def running(self) -> None:
        """The run begins, or goes on."""
        write_json(self.directory.status, self.status("running"))

    def status(self, state: str, error: BaseException | None = None) -> dict[str, Any]:
        """The tree of status.json."""
        return {
            "state": state,
            "started_utc": self.started_utc,
            "updated_utc": provenance.now_utc(),
            "wall_time_s": round(self.counters.seconds, 3),
            "iteration": self.counters.iterations,
            "env_steps": self.counters.env_steps,
            "updates": self.counters.updates,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "error": {"type": type(error).__name__, "message": first_line(error, NO_MESSAGE)} if error else None,
        }

    def failure(self, caught: BaseException) -> BaseException:
        """What to raise for what was caught: a user's mistake as it is, the rest as RunFailed, its traceback kept."""
        if isinstance(caught, UserError) or not isinstance(caught, Exception):
            return caught
        told = reason(caught)
        text = typed_line(told, NO_MESSAGE)
        try:
            write_text(self.directory.error, "".join(traceback.format_exception(caught)))
        except OSError as error:
            return RunFailed(f"{text} (no traceback kept: {error})")
        return RunFailed(f"{text} (traceback: {self.directory.error})")

    def end(self, state: str, error: BaseException | None) -> dict[str, Any]:
        """Writes the summary and the last status, closes the tracker, draws the figure; returns the summary."""
        status = self.status(state, error)
        summary = report.summarise(self.directory, status, self.experiment.fingerprint())
        for path, tree in ((self.directory.summary, summary), (self.directory.status, status)):
            try:
                write_json(path, tree)
            except OSError as problem:  # the end is told on the terminal all the same
                log.warning("%s could not be written: %s", path.name, problem)
        final = {name: value for name, value in summary["final"].items() if isinstance(value, (int, float))}
        self.tracker.finish({"state": state, **final}, failed=state == "failed")
        try:
            report.draw_learning_curve(self.directory)
        except (OSError, ValueError) as problem:  # a figure is no reason to lose a run; its figures are in the rows
            log.warning("report/learning_curve.png could not be drawn: %s", problem)
        return summary

    def _write_waiting(self) -> None:
        while self._waiting:
            append_row(self.directory.result, self._waiting[0])
            del self._waiting[0]

    def _refresh_status(self) -> None:
        """At most every few seconds."""
        if time.monotonic() - self._last_status >= STATUS_EVERY_S:
            self._status(self.running)
            self._last_status = time.monotonic()


def reason(caught: BaseException) -> BaseException:
    """The error itself, where Ray brought it from another process (RayTaskError.cause)."""
    cause = getattr(caught, "cause", None)
    return cause if isinstance(cause, BaseException) else caught
