"""Reading a run directory, also with broken or foreign files."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.rundir import reader
from dreamer_exp.rundir.atomic import append_row
from dreamer_exp.rundir.reader import BLOCK_BYTES, MAX_LINE_BYTES, RunReader, last_row, lines_from_end, read_rows

ROW = {"env_steps": 640, "loss/world_model": 0.5}


def write_lines(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


# trees


@pytest.mark.parametrize("name", ["status.json", "experiment.yaml"])
def test_a_mapping_is_read_without_a_fault(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"algo": {"horizon_H": 15}}')
    found = RunReader()
    assert found.tree(tmp_path / name) == {"algo": {"horizon_H": 15}}
    assert found.faults == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b"{",
        b"\xff\xfe\x00",
        b"a: [",
        b"- 1",
        b"!!python/object:os.system {}",
    ],
    ids=["empty", "list", "cut off", "bytes", "open list", "yaml list", "object"],
)
@pytest.mark.parametrize("name", ["status.json", "experiment.yaml"])
def test_foreign_content_is_a_fault(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    found = RunReader()
    assert found.tree(tmp_path / name) == {}
    assert found.faults == [f"{name}: cannot be read as {name[-4:].upper()}"]


def test_a_missing_file_and_a_folder_in_place_of_a_file_are_faults(tmp_path: Path) -> None:
    (tmp_path / "status.json").mkdir()
    found = RunReader()
    assert (found.tree(tmp_path / "status.json"), found.tree(tmp_path / "provenance.json")) == ({}, {})
    assert found.faults == ["status.json: Is a directory", "provenance.json: missing"]


def test_a_file_too_large_for_a_tree_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "status.json", "wb") as file:
        file.truncate(2**40)
    found = RunReader()
    assert found.tree(tmp_path / "status.json") == {}
    assert found.faults == ["status.json: too large to read (1.0 TiB)"]


@pytest.mark.parametrize(("content", "tree"), [("{}", {}), ('{"format": 1}', {"format": 1})])
def test_a_file_without_a_version_is_of_version_1(tmp_path: Path, content: str, tree: dict[str, Any]) -> None:
    (tmp_path / "status.json").write_text(content)
    found = RunReader()
    assert (found.tree(tmp_path / "status.json"), found.faults) == (tree, [])


def test_an_unknown_format_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"format": 2, "state": "finished"}')
    found = RunReader()
    assert found.tree(tmp_path / "status.json") == {}
    assert found.faults == ["status.json: format=2 is unknown, allowed: 1; update dreamer-exp"]


# rows


def test_appended_rows_are_read_in_order(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        append_row(tmp_path / "result.jsonl", {"env_steps": step})
    assert [row["env_steps"] for row in read_rows(tmp_path / "result.jsonl")] == [1, 2, 3]
    assert list(RunReader().rows(tmp_path / "result.jsonl")) == read_rows(tmp_path / "result.jsonl")


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "result.jsonl") == []
    assert last_row(tmp_path / "result.jsonl") is None


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | st.none()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), numbers, max_size=3), min_size=1, max_size=5))
def test_rows_equal_those_of_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("rows") / "result.jsonl"
    for row in rows:
        append_row(path, {**row, "env_steps": 1})
    assert read_rows(path) == [json.loads(line) for line in path.read_text().splitlines()]


def faults_of_rows(path: Path) -> tuple[list[int], list[str]]:
    found = RunReader()
    return [row["env_steps"] for row in found.rows(path)], found.faults


@pytest.mark.parametrize(
    "line",
    [
        "3",
        "[1]",
        '{"a": 1}',
        '{"env_steps": "many"}',
        '{"env_steps": true}',
        '{"env_steps": -5}',
        '{"env_steps": 1e300}',
        "\x00",
        "[" * 100_000,
    ],
)
def test_a_line_that_is_not_a_row_is_a_fault(tmp_path: Path, line: str) -> None:
    path = write_lines(tmp_path / "result.jsonl", json.dumps(ROW), line, json.dumps(ROW))
    assert faults_of_rows(path) == ([640, 640], ["result.jsonl: line 2 is not a row"])


def test_several_broken_lines_are_one_fault(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "result.jsonl", "3", json.dumps(ROW), "{", "{")
    assert faults_of_rows(path) == ([640], ["result.jsonl: line 1 and 2 more are not rows"])


def test_a_last_line_that_is_cut_off_is_a_fault_of_its_own(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "result.jsonl", "3", json.dumps(ROW))
    path.write_text(path.read_text() + '{"env_ste')
    assert faults_of_rows(path) == (
        [640],
        ["result.jsonl: the last line is cut off", "result.jsonl: line 1 is not a row"],
    )


def test_a_complete_last_line_without_a_newline_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "result.jsonl").write_text(json.dumps(ROW))
    assert faults_of_rows(tmp_path / "result.jsonl") == ([640], [])


def test_a_folder_in_place_of_rows_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "result.jsonl").mkdir()
    assert faults_of_rows(tmp_path / "result.jsonl") == ([], ["result.jsonl: Is a directory"])


@pytest.mark.parametrize("long", ["x" * 250, "x" * 100 + json.dumps(ROW)], ids=["no row", "a row at its end"])
def test_a_line_longer_than_the_limit_is_one_broken_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: str
) -> None:
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 100)
    path = write_lines(tmp_path / "result.jsonl", json.dumps(ROW), long, json.dumps(ROW))
    assert faults_of_rows(path) == ([640, 640], ["result.jsonl: line 2 is not a row"])


def test_a_sparse_end_costs_no_row_before_it(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "result.jsonl", json.dumps(ROW))
    os.truncate(path, 2**40)
    begin = time.process_time()
    assert faults_of_rows(path)[0] == [640]
    assert time.process_time() - begin < 2


def test_reading_stops_after_too_many_broken_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_BROKEN_LINES", 3)
    path = write_lines(tmp_path / "result.jsonl", json.dumps(ROW), *["?"] * 9, json.dumps(ROW))
    assert faults_of_rows(path) == (
        [640], ["result.jsonl: not read from line 5 on", "result.jsonl: line 2 and 2 more are not rows"]
    )  # fmt: skip


def test_reading_stops_after_a_number_of_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "evaluation.jsonl", *[json.dumps(ROW)] * 5)
    found = RunReader()
    assert len(list(found.rows(path, most=3))) == 3
    assert found.faults == ["evaluation.jsonl: not read from line 4 on"]


@pytest.mark.parametrize("name", ["status.json", "experiment.yaml", "result.jsonl"])
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "private").write_text(json.dumps({"state": "secret", **ROW}))
    (tmp_path / name).symlink_to(tmp_path / "private")
    found = RunReader()
    read = found.rows if name.endswith(".jsonl") else found.tree
    assert not list(read(tmp_path / name))
    assert found.faults == [f"{name}: is a symbolic link, which is not followed"]


def test_the_last_line_of_a_log_is_read_as_it_may_be_shown(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_bytes(b"first\n\x1b]0;title\x07last\n \n")
    assert reader.last_line(tmp_path / "console.log") == r"\x1b]0;title\x07last"
    assert reader.last_line(tmp_path / "missing.log") is None


# the last row


def test_the_last_wanted_row_is_found_and_broken_lines_after_it_are_a_fault(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", '{"env_steps": 1}', '{"env_steps": 2}', "{", "[" * 100_000)
    found = RunReader()
    assert found.last_row(path, lambda row: row["env_steps"] < 2) == {"env_steps": 1}
    assert found.faults == ["rows.jsonl: 2 broken lines at the end"]
    assert last_row(path) == {"env_steps": 2}


@pytest.mark.parametrize("length", [10, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 7])
def test_lines_come_from_the_end_at_any_length(tmp_path: Path, length: int) -> None:
    lines = [bytes([65 + i]) * length for i in range(5)]
    (tmp_path / "rows").write_bytes(b"\n".join(lines))
    assert list(lines_from_end(tmp_path / "rows")) == lines[::-1]


def test_the_search_for_the_beginning_of_a_line_is_limited(tmp_path: Path) -> None:
    append_row(tmp_path / "result.jsonl", ROW)
    with open(tmp_path / "result.jsonl", "a") as file:
        file.truncate(4 * MAX_LINE_BYTES)  # one line of zeros
    found = RunReader()
    begin = time.process_time()
    assert found.last_row(tmp_path / "result.jsonl") is None
    assert time.process_time() - begin < 3
    assert found.faults == ["result.jsonl: 1 broken line at the end"]


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    """Reading the sparse gigabyte before the row would take seconds."""
    with open(tmp_path / "result.jsonl", "wb") as file:
        file.truncate(2**30)
        file.seek(2**30)
        file.write(b"\n" + json.dumps(ROW).encode() + b"\n")
    begin = time.process_time()
    assert last_row(tmp_path / "result.jsonl") == ROW
    assert time.process_time() - begin < 0.2


def test_a_file_without_line_ends_is_read_in_linear_time(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    path.touch()
    os.truncate(path, 2 * MAX_LINE_BYTES)
    begun = time.process_time()
    assert last_row(path) is None
    assert time.process_time() - begun < 1.0
