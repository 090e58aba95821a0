"""One process a run directory."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock
from tests.paths import CHECKOUT

HOLD = """
import os, sys, time
from pathlib import Path
from dreamer_exp.rundir import lock
try:
    lock.hold(Path(sys.argv[1]), lock.TRAINS, "resume=run")
except Exception as refused:
    print(refused, flush=True)
else:
    print("held", flush=True)
    input()
"""


def start(folder: Path, code: str = HOLD) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_in_a_line_that_names_the_first(tmp_path: Path) -> None:
    first = start(tmp_path)
    assert line_of(first) == "held"
    with pytest.raises(UserError) as refused:
        lock.hold(tmp_path, lock.TRAINS, "resume=run")
    end(first)
    message = str(refused.value)
    assert message.startswith(
        f"resume=run: in use by process {first.pid} on {socket.gethostname()}, which trains there"
    )
    assert "since 20" in message
    assert "\n" not in message


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    first = start(tmp_path)
    assert line_of(first) == "held"
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = start(tmp_path)
    assert line_of(second) == "held"
    end(first, second)


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    forks = "print('forked', flush=True) if not os.fork() else input(); os.close(1); time.sleep(5)"
    first = start(tmp_path, HOLD.replace("input()", forks))
    assert [line_of(first), line_of(first)] == ["held", "forked"]
    first.kill()
    first.wait()
    lock.refuse_held(tmp_path, "resume=run")
    end(first)


def test_one_of_many_that_start_at_once_has_the_lock(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(6)]
    lines = [line_of(process) for process in processes]
    end(*processes)
    assert lines.count("held") == 1
    winner = processes[lines.index("held")].pid
    assert all(f"in use by process {winner} on" in line for line in lines if line != "held")


def test_a_process_can_take_its_lock_again(tmp_path: Path) -> None:
    with lock.held(tmp_path, lock.UPLOADS, "runs sync"):
        lock.hold(tmp_path, lock.TRAINS, "resume=run")
        lock.refuse_held(tmp_path, "resume=run")


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    with lock.held(tmp_path, lock.UPLOADS, "runs sync"):
        pass
    second = start(tmp_path)
    assert line_of(second) == "held"
    end(second)


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    lock.refuse_held(tmp_path, "resume=run")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / lock.NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"resume=run: .*\.lock cannot be written"):
        lock.hold(tmp_path, lock.TRAINS, "resume=run")


def without_flock(descriptor: int, operation: int) -> None:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        (lambda record: record, True),
        (lambda record: {**record, "process_started": record["process_started"] - 100}, False),  # its number is reused
        (lambda record: {**record, "host": "another"}, True),  # cannot be known
    ],
    ids=["running", "another process", "another host"],
)
def test_without_flock_the_recorded_process_decides(
    tmp_path: Path, change: Callable[[dict[str, object]], object], is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tmp_path)
    assert line_of(first) == "held"
    record = json.loads((tmp_path / lock.NAME).read_text())
    (tmp_path / lock.NAME).write_text(json.dumps(change(record)))
    monkeypatch.setattr("fcntl.flock", without_flock)
    assert lock.is_held(tmp_path) == is_refused
    end(first)
