"""Files that a failed write can't harm."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from dreamer_exp.rundir.layout import append_row, cut_rows, read_rows, remove_traces, write_json, write_text


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "status.json", {"state": "running"})
    assert json.loads((tmp_path / "a" / "status.json").read_text()) == {"state": "running"}


@pytest.mark.parametrize("bad", [math.nan, {1, 2}])
def test_a_value_that_json_lacks_leaves_the_old_file_as_it_was(tmp_path: Path, bad: object) -> None:
    write_json(tmp_path / "status.json", {"state": "running"})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "status.json", {"figure": bad})
    assert json.loads((tmp_path / "status.json").read_text()) == {"state": "running"}


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "latest", "000000512\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "latest", "000001024\n")
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]
    assert (tmp_path / "latest").read_text() == "000000512\n"


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        append_row(tmp_path / "result.jsonl", {"env_steps": step})
    assert [row["env_steps"] for row in read_rows(tmp_path / "result.jsonl")] == [1, 2, 3]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "result.jsonl") == []


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    remove_traces(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_with_anything_else_in_it_stays(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    remove_traces(tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("end", ["", '{"env_st', '{"env_steps": 5', "[]\n", "\x00\x00"])
def test_rows_are_cut_back_to_the_last_that_is_whole_and_wanted(tmp_path: Path, end: str) -> None:
    path = tmp_path / "result.jsonl"
    for step in (1, 2, 3):
        append_row(path, {"env_steps": step})
    path.write_text(path.read_text() + end)
    assert cut_rows(path, lambda row: row["env_steps"] <= 2) == 1 + bool(end)
    assert read_rows(path) == [{"env_steps": 1}, {"env_steps": 2}]


FULL_DISK = """
import resource, sys
from pathlib import Path
from dreamer_exp.rundir.layout import append_row
path = Path(sys.argv[1])
append_row(path, {"env_steps": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5,) * 2)
try:
    append_row(path, {"env_steps": 2})
except OSError:
    sys.exit(7)
"""


def test_a_row_that_the_disk_takes_in_part_is_taken_away_again(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    assert subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False).returncode == 7
    assert path.read_text() == '{"env_steps": 1}\n'
