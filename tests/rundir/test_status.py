"""The state of a run, from status.json and the host's processes."""

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dreamer_exp.rundir.status import state_of

UNUSED_PID = 2**22 + 1  # larger than Linux's process numbers


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"state": "finished"}, "finished"),
        ({"state": "running", "host": socket.gethostname(), "pid": UNUSED_PID}, "dead"),
        ({"state": "running", "host": "another", "pid": UNUSED_PID}, "running"),  # cannot be known here
        ({"state": "running", "host": socket.gethostname(), "pid": -1}, "dead"),
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


@pytest.mark.parametrize(
    ("command", "state"),
    [([sys.executable, "-c", "input()"], "running"), (["cat"], "dead")],
    ids=["python", "another program"],
)
def test_a_run_is_running_while_a_python_process_has_its_number(command: list[str], state: str) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert state_of({"state": "running", "host": socket.gethostname(), "pid": process.pid}) == state
