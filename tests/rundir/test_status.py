"""The state of a run, from status.json and the host's processes."""

import socket
import subprocess
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.status import refuse_running, state_of

HOST = socket.gethostname()
UNUSED_PID = 2**22 + 1  # larger than Linux's process numbers


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"state": "finished"}, "finished"),
        ({"state": "running", "host": HOST, "pid": UNUSED_PID}, "dead"),
        ({"state": "running", "host": "another", "pid": UNUSED_PID}, "running"),  # cannot be known here
        ({"state": "running", "host": HOST, "pid": -1}, "dead"),
        ({"state": "running", "host": HOST, "pid": 1e30}, "dead"),  # as JSON reads 10**30
        ({"state": 3}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_running_run_without_a_process_is_dead(status: dict[str, Any], state: str) -> None:
    assert state_of(status) == state


@pytest.mark.parametrize(("hours", "state"), [(7.0, "dead"), (5.0, "running")])
def test_a_run_of_another_host_is_dead_after_six_hours_of_silence(hours: float, state: str) -> None:
    updated = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    assert state_of({"state": "running", "host": "another", "pid": 1, "updated_utc": updated}) == state
    assert state_of({"state": "running", "host": "another", "pid": 1, "updated_utc": [3]}) == "running"


@pytest.mark.parametrize(("years", "state"), [(0, "running"), (1, "dead")], ids=["the same", "a reused number"])
def test_a_run_is_running_while_its_process_exists(years: int, state: str) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        started = psutil.Process(process.pid).create_time() - years * 3e7
        status = {"state": "running", "host": HOST, "pid": process.pid, "process_started": started}
        assert state_of(status) == state


@pytest.mark.parametrize(("days", "state"), [(1, "running"), (-1, "dead")])
def test_without_its_start_a_process_is_the_run_if_it_is_older_than_the_last_record(days: int, state: str) -> None:
    updated = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        status = {"state": "running", "host": HOST, "pid": process.pid, "updated_utc": updated}
        assert state_of(status) == state


@pytest.mark.parametrize(("minutes", "is_refused"), [(1, True), (11, False)])
def test_a_run_of_another_host_is_not_resumed_shortly_after_its_last_record(
    tmp_path: Path, minutes: int, is_refused: bool
) -> None:
    updated = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
    write_json(tmp_path / "status.json", {"state": "running", "host": "another", "pid": 7, "updated_utc": updated})
    with pytest.raises(UserError, match="process 7 on another since") if is_refused else nullcontext():
        refuse_running(tmp_path, "resume=run")
