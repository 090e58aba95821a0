"""Removing rows from a .jsonl file."""

import json
import os
from pathlib import Path

import pytest

from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.rundir.row_filter import RemovedLines, filter_rows


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines))
    return path


def row(step: int) -> str:
    return json.dumps({"env_steps": step}) + "\n"


@pytest.mark.parametrize("end", ["", '{"env_st', '{"env_steps": 5', "[]\n", "\x00\x00"])
def test_rows_after_the_wanted_ones_and_a_damaged_end_are_removed(tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "result.jsonl", row(1), row(2), row(3), end)
    assert filter_rows(path, lambda each: each["env_steps"] <= 2) == RemovedLines(unwanted=1, damaged=int(bool(end)))
    assert read_rows(path) == [{"env_steps": 1}, {"env_steps": 2}]


@pytest.mark.parametrize("damaged", ['{"env_steps": 1, "a\x00": 3}\n', "\n", "{}\n", '{"env_steps": "x"}\n'])
def test_a_damaged_line_costs_that_line_only(tmp_path: Path, damaged: str) -> None:
    path = write(tmp_path / "result.jsonl", row(1), damaged, row(2), row(3))
    assert filter_rows(path, lambda each: True) == RemovedLines(damaged=1)
    assert [each["env_steps"] for each in read_rows(path)] == [1, 2, 3]


@pytest.mark.parametrize("line", ['{"env_steps": 1}\n', '{"env_steps": 1, "iteration": "x"}\n'])
def test_a_row_without_what_every_row_has_is_damaged(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "result.jsonl", line)
    assert filter_rows(path, lambda each: each["iteration"] <= 3) == RemovedLines(damaged=1)


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert filter_rows(tmp_path / "result.jsonl", lambda each: True) == RemovedLines()


def test_a_link_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    target = write(tmp_path / "target", row(1))
    (tmp_path / "result.jsonl").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        filter_rows(tmp_path / "result.jsonl", lambda each: False)
    assert os.path.islink(tmp_path / "result.jsonl")
    assert target.read_text() == row(1)


def test_removed_lines_are_added() -> None:
    assert RemovedLines(1, 2) + RemovedLines(3, 4) == RemovedLines(4, 6)
