"""status.json: what state a run is in, and whether its process still lives."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.layout import RunDirectory, read_tree

SILENT = timedelta(hours=6)  # no iteration or evaluation takes as long; hosts' clocks differ by less


def refuse_running(root: Path) -> None:
    """Raises UserError where the run's process is still at work: two would write over each other."""
    told = read_status(root)
    if told.get("state") == "running" and is_alive(told):
        raise UserError(f"resume={root}: that run is at work, as process {told['pid']}; stop it first.")


def read_status(root: Path) -> dict[str, Any]:
    """The tree of status.json; empty where there is no whole one."""
    return read_tree(RunDirectory(root).status)


def state_of(told: dict[str, Any]) -> str:
    """What status.json says; dead where it says running and this host has no such process any more, or, of another
    host, where it hasn't been written for SILENT."""
    state = told.get("state")
    if not isinstance(state, str):
        return "unknown"
    if state == "running" and told.get("host") != socket.gethostname():
        return "dead" if _is_silent(told.get("updated_utc")) else state
    is_here = told.get("host") == socket.gethostname() and isinstance(told.get("pid"), int)
    return "dead" if state == "running" and is_here and not is_alive(told) else state


def _is_silent(updated_utc: Any) -> bool:
    try:
        told = datetime.fromisoformat(updated_utc)
        return datetime.now(UTC) - (told if told.tzinfo else told.replace(tzinfo=UTC)) > SILENT
    except (TypeError, ValueError, OverflowError):
        return False


def is_alive(told: dict[str, Any]) -> bool:
    """Whether this host's process of that number is a Python that isn't this one (numbers are used again), nor one
    that has ended and whose parent hasn't asked yet."""
    if told.get("host") != socket.gethostname() or told.get("pid") == os.getpid():
        return False
    try:
        process = psutil.Process(told["pid"])
        return "python" in process.name().lower() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):  # ValueError: no number that a process can have
        return False
