"""Files that a failed write can't harm."""

import json
import math
from pathlib import Path

import pytest

from dreamer_exp.runs.directory import append_row, read_rows, remove_traces, write_json, write_text


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
