"""Output after its reader has ended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import CHECKOUT

PRINT = """
import os, subprocess, sys
from dreamer_exp.cli.errors import run_command
def command(words):
    for _ in range(3):
        print("x" * 10_000, flush=True)
        print("note", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)
    open("done", "w").close()
run_command(command, needs_output=sys.argv[1] == "result")
"""


def run(folder: Path, redirection: str, needs_output: str = "progress") -> subprocess.CompletedProcess[str]:
    script = f'"$1" -c "$2" {needs_output} {redirection}'
    return subprocess.run(
        ["bash", "-c", script, "sh", sys.executable, PRINT], cwd=folder, text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "redirection", ["| true; exit ${PIPESTATUS[0]}", ">&-", ">/dev/full", ">/dev/full 2>&1", ">&- 2>&- <&-"]
)
def test_a_command_runs_to_its_end_without_its_reader(tmp_path: Path, redirection: str) -> None:
    done = run(tmp_path, redirection)
    assert done.returncode == 0
    assert (tmp_path / "done").stat().st_size == 0
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_full_disk_is_reported_once(tmp_path: Path) -> None:
    lines = run(tmp_path, ">/dev/full").stderr.splitlines()
    assert lines.count("dreamer_exp: standard output is incomplete: No space left on device.") == 1


@pytest.mark.parametrize(("redirection", "code"), [(">/dev/full", 1), ("| true; exit ${PIPESTATUS[0]}", 0)])
def test_an_incomplete_result_fails(tmp_path: Path, redirection: str, code: int) -> None:
    assert run(tmp_path, redirection, "result").returncode == code


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything(tmp_path: Path) -> None:
    script = 'set -o pipefail; "$1" -c "$2" progress | { "$1" -c "$3"; cat; } | wc -c'
    non_blocking = PRINT.replace("def command", "os.set_blocking(1, False)\ndef command").replace("10_000", "200_000")
    done = subprocess.run(
        ["bash", "-c", script, "sh", sys.executable, non_blocking, "import time; time.sleep(1)"], cwd=tmp_path,
        text=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=False,
    )  # fmt: skip
    assert (done.returncode, int(done.stdout)) == (0, 3 * 200_001 + len("from a child\n"))


@pytest.mark.parametrize("words", ["--help", "runs --help", "--version"])
def test_help_can_be_cut_off(tmp_path: Path, words: str) -> None:
    script = f'"$1" -m dreamer_exp {words} | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script, "sh", sys.executable], cwd=tmp_path, text=True, capture_output=True,
                          env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
