"""Files that a failed write can't harm."""

from pathlib import Path

import pytest

from dreamer_exp.rundir.atomic import append_row
from dreamer_exp.rundir.layout import cut_rows, read_rows, remove_traces


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
