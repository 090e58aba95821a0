"""A failed or killed write leaves the old file or folder as it was."""

import errno
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dreamer_exp.rundir.atomic import (
    append_row,
    replace_file,
    replace_folder,
    save_figure,
    temporary_path,
    write_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("half")


def test_written_files_can_be_read_and_missing_folders_are_created(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "status.json", {"state": "running"})
    write_bytes(tmp_path / "b" / "weights", b"\x00\xff")
    assert json.loads((tmp_path / "a" / "status.json").read_text()) == {"state": "running"}
    assert (tmp_path / "b" / "weights").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("value", [math.nan, {1, 2}])
def test_a_value_without_a_json_form_leaves_the_old_file(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / "status.json", {"state": "running"})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "status.json", {"figure": value})
    assert json.loads((tmp_path / "status.json").read_text()) == {"state": "running"}


def test_a_failed_sync_leaves_the_old_file_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "latest", "000000512\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "latest", "000001024\n")
    assert names(tmp_path) == ["latest"]
    assert (tmp_path / "latest").read_text() == "000000512\n"


def test_an_exception_while_a_file_is_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "figure.png", "old")
    with pytest.raises(RuntimeError, match="half"), replace_file(tmp_path / "figure.png") as temporary:
        write_half(temporary)
    assert names(tmp_path) == ["figure.png"]
    assert (tmp_path / "figure.png").read_text() == "old"


def test_a_full_disk_is_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    with pytest.raises(OSError, match=re.escape(str(path))), replace_file(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as `write` raises it


def test_no_link_is_followed_under_the_temporary_name(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "status.json"
    victim.write_text("precious")
    temporary_path(path).symlink_to(victim)
    write_json(path, {})
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_a_figure_replaces_a_link_in_its_place(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "figure.png"
    victim.write_text("precious")
    path.symlink_to(victim)
    save_figure(path, Figure(), 10)
    assert victim.read_text() == "precious"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_folder_replaces_the_old_one_with_everything_in_it(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replace_folder(tmp_path / "a" / "checkpoint") as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / content).write_text(content)
            assert not (tmp_path / "a" / "checkpoint" / "inner" / content).exists()
    assert names(tmp_path / "a") == ["checkpoint"]
    assert names(tmp_path / "a" / "checkpoint" / "inner") == ["new"]


def test_an_exception_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "checkpoint") as temporary:
        (temporary / "old").touch()
    with pytest.raises(RuntimeError, match="half"), replace_folder(tmp_path / "checkpoint") as temporary:
        write_half(temporary / "new")
    assert names(tmp_path) == ["checkpoint"]
    assert names(tmp_path / "checkpoint") == ["old"]


def test_rows_are_appended_one_a_line(tmp_path: Path) -> None:
    for step in (1, 2):
        append_row(tmp_path / "result.jsonl", {"env_steps": step})
    assert (tmp_path / "result.jsonl").read_text() == '{"env_steps": 1}\n{"env_steps": 2}\n'


FULL_DISK = """
import resource, sys
from pathlib import Path
from dreamer_exp.rundir.atomic import append_row
path = Path(sys.argv[1])
append_row(path, {"env_steps": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5,) * 2)
try:
    append_row(path, {"env_steps": 2})
except OSError:
    sys.exit(7)
"""


def test_a_row_that_a_full_disk_accepts_in_part_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "result.jsonl"
    assert subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False).returncode == 7
    assert path.read_text() == '{"env_steps": 1}\n'
