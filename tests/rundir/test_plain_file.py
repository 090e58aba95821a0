"""Opening only plain files of a limited size."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamer_exp.rundir.plain_file import is_plain, is_plain_folder, open_plain, read_plain, refuse_sparse


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_link, "is a symbolic link, which is not followed"),
        (make_dangling_link, "is a symbolic link, which is not followed"),
        (make_link_to_a_device, "is a symbolic link, which is not followed"),
        (os.mkfifo, "is a named pipe"),
        (make_socket, "is a socket"),
        (Path.mkdir, "Is a directory"),
    ],
)
def test_anything_but_a_plain_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is limited to 107 bytes
    make(tmp_path / "file")
    begin = time.monotonic()
    with pytest.raises(OSError, match=reason):
        open_plain(tmp_path / "file")
    assert time.monotonic() - begin < 1
    assert not is_plain(tmp_path / "file")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "missing"])
def test_an_impossible_or_missing_name_is_an_error_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r".") as raised:
        open_plain(tmp_path / name)
    assert raised.value.strerror
    assert not is_plain(tmp_path / name)
    assert not is_plain_folder(tmp_path / name)


def test_a_plain_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_plain(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="too large to read"):
        read_plain(tmp_path / "file", 4)


def test_a_file_that_claims_no_size_is_limited_too() -> None:
    with pytest.raises(OSError, match="too large to read"):
        read_plain(Path("/proc/self/status"), 10)


def test_a_link_to_a_folder_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert is_plain_folder(tmp_path / "real")
    assert not is_plain_folder(tmp_path / "link")


def test_a_large_file_of_holes_is_sparse(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"header")
    os.truncate(tmp_path / "file", 2**30)
    with open_plain(tmp_path / "file") as file:
        assert file.read(3) == b"hea"
        with pytest.raises(OSError, match=r"is sparse: 1\.0 GiB"):
            refuse_sparse(file)


def test_a_large_file_with_content_is_not_sparse(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(2**20) * 20)
    with open_plain(tmp_path / "file") as file:
        refuse_sparse(file)
        assert file.tell() == 0
