"""status.json: the state of a run, and whether its process is still running."""

import re
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import now_utc, printable, shortened
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import TOLERANCE_S, is_running, start_of
from dreamer_exp.rundir.reader import last_row, read_tree

STARTING, TRAINING, EVALUATING = "starting", "training", "evaluating"  # `activity` of a running run
WORDS = re.compile(r"[a-z]{1,20}( [a-z]{1,20})?")  # a state
SILENT = timedelta(hours=6)  # longer than an iteration or an evaluation, and than clocks of two hosts differ
RECENT = timedelta(minutes=10)  # a run of another host that wrote less long ago is not resumed here
ENDED = "ProcessEnded"  # the error's type of a run whose process ended without writing an end
PROCESS_STARTED = "process_started"  # key of status.json and sweep.json


def refuse_running(root: Path, key: str) -> None:
    """Refuse a run that still runs although its lock is free: of an older release, or on a host that locks elsewhere.

    Args:
        root: the run's directory.
        key: how the user named it, as `resume=outputs/run`; the message begins with it.

    Raises:
        UserError: status.json names a process of this host that is running and takes no locks, or one of another host
            that wrote less than RECENT ago.
    """
    status = read_status(root)
    if status.get("state") != "running":
        return
    who = f"process {status.get('pid')} on {status.get('host')} since {status.get('started_utc')}"
    if status.get("host") != socket.gethostname():
        if not _is_silent(status.get("updated_utc"), RECENT):
            raise UserError(
                f"{key}: that run is running, as {who}; stop it first. If it has ended there, delete "
                f"{RunDirectory(root).status}, or wait {RECENT.seconds // 60} minutes."
            )
    elif PROCESS_STARTED not in status and is_alive(status):
        raise UserError(f"{key}: that run is still running, as {who}; stop it first.")


def read_status(root: Path) -> dict[str, Any]:
    """Return the tree of status.json; an empty one if the file is missing or broken."""
    return read_tree(RunDirectory(root).status)


def write_missing_end(root: Path, state: str, message: str | None, kind: str = ENDED) -> dict[str, Any] | None:
    """Replace the state `running` in status.json for a run whose process ended without writing its end.

    The counters are those of its last row, which may be newer than status.json. Returns the new content, or None if
    the state was another one.

    Args:
        root: the run's directory.
        state: the state at its end.
        message: the error, or None.
        kind: the error's type.
    """
    status, directory = read_status(root), RunDirectory(root)
    if status.get("state") != "running":
        return None
    row = last_row(directory.result) or {}
    counters = {name: row[name] for name in ("iteration", "env_steps", "updates") if name in row}
    error = {"type": kind, "message": message} if message else None
    end = {"state": state, "activity": None, "updated_utc": now_utc(), "error": error}
    ended = status | counters | end
    with suppress(OSError):  # the disk is full; the end is printed
        write_json(directory.status, ended)
    return ended


def write_stop(root: Path, reason: str) -> None:
    """Give a run that its sweep has stopped the state `stopped`, in status.json and run_summary.json."""
    for path in (RunDirectory(root).status, RunDirectory(root).summary):
        if tree := read_tree(path):
            end = {"state": "stopped", "end_reason": reason, "activity": None, "error": None}
            with suppress(OSError):  # the disk is full; job.json has the state too, or the end is printed
                write_json(path, tree | end)


def error_of(status: dict[str, Any]) -> str | None:
    """Return type and first line of the error in status.json, as it may be shown, or None."""
    error = status.get("error")
    text = f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None
    return None if text is None else shortened(printable(text))


def state_of(status: dict[str, Any]) -> str:
    """Return the state in status.json, `unknown` without a word there, or `dead` instead of `running`.

    A running run of this host is dead if it has no such process. One of another host is dead if its status.json was
    not written for SILENT.
    """
    state = status.get("state")
    if not isinstance(state, str) or not WORDS.fullmatch(state):
        return "unknown"
    if state == "running" and status.get("host") != socket.gethostname():
        return "dead" if _is_silent(status.get("updated_utc")) else state
    is_known = status.get("pid") is not None
    return "dead" if state == "running" and is_known and not is_alive(status) else state


def _is_silent(updated_utc: Any, limit: timedelta = SILENT) -> bool:
    updated = _time(updated_utc)
    return updated is not None and datetime.now(UTC) - updated > limit


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None


def is_alive(process: dict[str, Any]) -> bool:
    """Return whether the recorded `pid` on the recorded `host` is the recorded process, and is running here.

    Numbers of processes are reused: a process that was created at another time, or after the last record of an older
    release, is another one.
    """
    if process.get("host") != socket.gethostname():
        return False
    started = process.get(PROCESS_STARTED)
    if isinstance(started, (int, float)):
        return is_running(process.get("pid"), started)
    created, updated = start_of(process.get("pid")), _time(process.get("updated_utc") or process.get("started_utc"))
    return created is not None and (updated is None or created <= updated.timestamp() + TOLERANCE_S)
