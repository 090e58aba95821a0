"""The files and the tracker of a run: rows, status, errors and summary. A full disk does not end the run at once."""

import logging
import socket
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError, noted_line, typed_line
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.formatting import now_utc
from dreamer_exp.monitoring import summary
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.report.page import try_write_page
from dreamer_exp.rundir.atomic import append_row, write_json, write_text
from dreamer_exp.rundir.formats import current_format
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import own_pid, own_start
from dreamer_exp.rundir.status import PROCESS_STARTED, STARTING
from dreamer_exp.tracking.tracker import Tracker, Trackers

STATUS_EVERY_S = 2.0
NO_MESSAGE = "without a message"
MAX_FAILED_WRITES = 3  # in a row; this many end the run

log = logging.getLogger(__name__)


class RunFailed(Exception):
    """A failed run, recorded as failed, with its traceback kept.

    Attributes:
        hangs_at_exit: whether an orderly exit of this process would wait for a Ray that has died.
    """

    hangs_at_exit = False


class Interrupted(SystemExit):
    """A run that a signal ended.

    Attributes:
        hangs_at_exit: as of RunFailed.
    """

    def __init__(self, code: int, hangs_at_exit: bool) -> None:
        super().__init__(code)
        self.hangs_at_exit = hangs_at_exit


class DiskFailed(Exception):
    """Several failed writes in a row."""


class Attempts:
    """Writes of one kind: a failed write is logged, MAX_FAILED_WRITES in a row raise DiskFailed."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failed = 0

    def __call__(self, write: Callable[[], None]) -> bool:
        """Call `write`; return whether it succeeded."""
        try:
            write()
        except OSError as error:
            self._failed += 1
            if self._failed == MAX_FAILED_WRITES:
                message = f"{self._what} could not be written {MAX_FAILED_WRITES} times in a row: {error}"
                raise DiskFailed(message) from error
            log.warning("%s could not be written (%s); what is on the disk stays as it is", self._what, error)
            return False
        self._failed = 0
        return True


class Record:
    """Files of one run, except its checkpoints."""

    def __init__(self, directory: RunDirectory, experiment: Experiment, counters: Counters, started_utc: str) -> None:
        self.directory, self.experiment, self.counters = directory, experiment, counters
        self.started_utc = started_utc
        self.process_started = own_start()
        self.tracker: Tracker = Trackers([])
        self.activity = STARTING
        self.page: Path | None = None  # report/index.html, once it is written
        self.end_reason: str | None = None  # of a finished run
        self._waiting: list[dict[str, Any]] = []  # rows that could not be written yet
        self._rows, self._evaluations = Attempts("result.jsonl"), Attempts("evaluation.jsonl")
        self._status = Attempts("status.json")
        self._last_status = 0.0  # monotonic seconds

    def row(self, row: dict[str, Any]) -> None:
        """Write the row of an iteration; a row that cannot be written is kept and written with the next one."""
        self.tracker.log(row, self.counters.env_steps)
        self._waiting.append(row)
        self._rows(self._write_waiting)
        self._refresh_status()

    def evaluation(self, row: dict[str, Any]) -> None:
        """Write the row of an evaluation."""
        self._evaluations(lambda: append_row(self.directory.evaluation, row))
        figures = {name: value for name, value in row.items() if name not in ("format", "outcomes")}
        figures = {f"evaluation/{row['policy']}/{name}": value for name, value in figures.items()}
        self.tracker.log(figures, row["env_steps"])

    def enter(self, activity: str) -> None:
        """Write status.json when the run begins another activity: STARTING, TRAINING or EVALUATING."""
        if activity != self.activity:
            self.activity = activity
            self._status(self.running)

    def running(self) -> None:
        """Write status.json of a running run."""
        write_json(self.directory.status, self.status("running"))

    def status(self, state: str, error: BaseException | None = None) -> dict[str, Any]:
        """Return the content of status.json."""
        return {
            "format": current_format("status.json"),
            "state": state,
            "activity": self.activity if state == "running" else None,
            "end_reason": self.end_reason if state == "finished" else None,
            "started_utc": self.started_utc,
            "updated_utc": now_utc(),
            "wall_time_s": round(self.counters.seconds, 3),
            "iteration": self.counters.iterations,
            "env_steps": self.counters.env_steps,
            "updates": self.counters.updates,
            "pid": own_pid(),
            "host": socket.gethostname(),
            PROCESS_STARTED: self.process_started,
            "error": {"type": type(error).__name__, "message": noted_line(error, NO_MESSAGE)} if error else None,
        }

    def failure(self, caught: BaseException, hangs_at_exit: bool = False) -> BaseException:
        """Return what to raise: a user's mistake unchanged, any other error as RunFailed, its traceback kept.

        Args:
            caught: the error.
            hangs_at_exit: as of RunFailed.
        """
        if isinstance(caught, UserError):
            return caught
        text = typed_line(reason(caught), NO_MESSAGE)
        try:
            write_text(self.directory.error, "".join(traceback.format_exception(caught)))
            kept = f"traceback: {self.directory.error}"
        except OSError as error:
            kept = f"no traceback kept: {error}"
        failed = RunFailed(f"{text} ({kept})")
        failed.hangs_at_exit = hangs_at_exit
        return failed

    def end(self, state: str, error: BaseException | None) -> dict[str, Any]:
        """Write the summary, the last status, curve and page, and close the tracker; return the summary."""
        status = self.status(state, error)
        tree = summary.summarise(self.directory, status, self.experiment.fingerprint())
        for path, content in ((self.directory.summary, tree), (self.directory.status, status)):
            try:
                write_json(path, content)
            except OSError as problem:  # the end is still printed
                log.warning("%s could not be written: %s", path.name, problem)
        final = {name: value for name, value in tree["final"].items() if isinstance(value, (int, float))}
        self.tracker.finish({"state": state, **final}, failed=state == "failed")
        try:
            summary.draw_learning_curve(self.directory)
        except (OSError, ValueError) as problem:  # the run does not fail over a picture
            log.warning("report/learning_curve.png could not be drawn: %s", problem)
        if tree["final"].get("iteration"):
            self.page = try_write_page(self.directory.root)
        return tree

    def _write_waiting(self) -> None:
        while self._waiting:
            append_row(self.directory.result, self._waiting[0])
            del self._waiting[0]

    def _refresh_status(self) -> None:
        """Write status.json, at most once every STATUS_EVERY_S seconds."""
        if time.monotonic() - self._last_status >= STATUS_EVERY_S:
            self._status(self.running)
            self._last_status = time.monotonic()


def reason(caught: BaseException) -> BaseException:
    """Return the original exception of another process if Ray wrapped it (RayTaskError.cause)."""
    cause = getattr(caught, "cause", None)
    return cause if isinstance(cause, BaseException) else caught
