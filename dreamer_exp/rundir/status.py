"""status.json: the state of a run, and whether its process is still running."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_tree

STARTING, TRAINING, EVALUATING = "starting", "training", "evaluating"  # `activity` of a running run
SILENT = timedelta(hours=6)  # longer than an iteration or an evaluation, and than clocks of two hosts differ


def refuse_running(root: Path) -> None:
    """Refuse a run whose process is still running: two would overwrite each other's files.

    Raises:
        UserError: Its process is running on this host.
    """
    status = read_status(root)
    if status.get("state") == "running" and is_alive(status):
        raise UserError(f"resume={root}: that run is still running, as process {status['pid']}; stop it first.")


def read_status(root: Path) -> dict[str, Any]:
    """Return the tree of status.json; an empty one if the file is missing or broken."""
    return read_tree(RunDirectory(root).status)


def error_of(status: dict[str, Any]) -> str | None:
    """Return type and first line of the error in status.json, or None."""
    error = status.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None


def state_of(status: dict[str, Any]) -> str:
    """Return the state in status.json, `unknown` without one, or `dead` instead of `running`.

    A running run of this host is dead if it has no such process. One of another host is dead if its status.json was
    not written for SILENT.
    """
    state = status.get("state")
    if not isinstance(state, str):
        return "unknown"
    if state == "running" and status.get("host") != socket.gethostname():
        return "dead" if _is_silent(status.get("updated_utc")) else state
    is_known = isinstance(status.get("pid"), int)
    return "dead" if state == "running" and is_known and not is_alive(status) else state


def _is_silent(updated_utc: Any) -> bool:
    try:
        updated = datetime.fromisoformat(updated_utc)
        return datetime.now(UTC) - (updated if updated.tzinfo else updated.replace(tzinfo=UTC)) > SILENT
    except (TypeError, ValueError, OverflowError):
        return False


def is_alive(process: dict[str, Any]) -> bool:
    """Return whether the recorded `pid` on the recorded `host` is a running Python process other than this one.

    Process numbers are reused, so a process that is not Python is another one. A zombie has ended.
    """
    if process.get("host") != socket.gethostname() or process.get("pid") == os.getpid():
        return False
    try:
        found = psutil.Process(process["pid"])
        return "python" in found.name().lower() and found.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):  # ValueError: not a number that a process can have
        return False
