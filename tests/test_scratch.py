"""What runs need outside of their directories."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dreamer_exp import leftovers, scratch
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock
from dreamer_exp.scratch import JOB_PREFIX, LONGEST_BYTES, PREFIX, ray_folder, short_temporary_folder
from tests.paths import CHECKOUT

READ_ONLY = "/proc/self"  # for root too


def set_folders(patch: pytest.MonkeyPatch, **folders: str) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        patch.delenv(name, raising=False)
    for name, folder in folders.items():
        patch.setenv(name, folder)


def test_rays_own_variable_comes_first(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_folders(monkeypatch, RAY_TMPDIR="/var/tmp", TMPDIR="/tmp")
    assert short_temporary_folder() == Path("/var/tmp")


@pytest.mark.parametrize("unusable", ["missing", "read-only", "long"])
def test_an_unusable_folder_is_passed_over(unusable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"missing": "/tmp/none", "read-only": READ_ONLY, "long": str(tmp_path / ("l" * LONGEST_BYTES))}
    (tmp_path / ("l" * LONGEST_BYTES)).mkdir()
    set_folders(monkeypatch, TMPDIR=folders[unusable])
    assert short_temporary_folder() == Path("/tmp")


def test_without_any_folder_the_line_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_folders(monkeypatch)
    monkeypatch.setattr(scratch, "LONGEST_BYTES", 2)
    with pytest.raises(UserError, match=r"at most 2 bytes; tried /tmp, /var/tmp: set RAY_TMPDIR to another one\.$"):
        short_temporary_folder()


def test_the_folder_is_private_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_folders(monkeypatch)
    with ray_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "session" / "logs").mkdir(parents=True)
    assert not folder.exists()


HOLD = """
import subprocess, sys
from dreamer_exp.scratch import ray_folder
with ray_folder() as folder:
    log = folder / "log"
    writer = subprocess.Popen(["sleep", "100"], stdout=log.open("w"))
    reader = subprocess.Popen(["sleep", "100"], stdin=log.open(), stdout=subprocess.DEVNULL)
    print(folder, writer.pid, reader.pid, flush=True)
    input()
"""


def hold() -> tuple["subprocess.Popen[str]", Path, psutil.Process, psutil.Process]:
    """Return a process that has a folder, the folder, and processes that write and read a file in it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONPATH": str(CHECKOUT)})  # fmt: skip
    assert process.stdout is not None
    folder, writer, reader = process.stdout.readline().split()
    return process, Path(folder), psutil.Process(int(writer)), psutil.Process(int(reader))


LEFT = """
import os, subprocess
from dreamer_exp.scratch import ray_folder
with ray_folder(lambda: True) as folder:
    writer = subprocess.Popen(["sleep", "100"], stdout=(folder / "log").open("w"), stderr=subprocess.DEVNULL)
print(folder, writer.pid, folder.exists() and writer.poll() is None, flush=True)
os._exit(0)
"""


def test_what_stays_until_the_end_of_its_process_is_then_killed_and_removed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, text=True, env=environment, check=True)
    folder, writer, stayed = done.stdout.split()
    assert stayed == "True"
    deadline = time.monotonic() + 20
    while (Path(folder).exists() or psutil.pid_exists(int(writer))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not psutil.pid_exists(int(writer))


def test_a_program_that_uses_the_ray_of_a_killed_process_ends_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)  # as TMPDIR may be
    writers = [subprocess.Popen(["sleep", "100"], stdout=(folder / name).open("w"))
               for name in (f"{leftovers.DRIVER_LOG}1.log", "raylet.out")]  # fmt: skip
    cleaning = subprocess.Popen([sys.executable, leftovers.__file__, str(tmp_path / "link"), "-1"])
    job, raylet = writers
    assert raylet.wait(10) == -signal.SIGKILL
    assert job.poll() is None
    assert folder.exists()
    job.kill()
    job.wait()
    assert cleaning.wait(10) == 0
    assert not folder.exists()


def test_what_a_killed_process_leaves_is_killed_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_folders(monkeypatch)
    process, folder, writer, reader = hold()
    process.kill()
    process.communicate()
    assert psutil.wait_procs([writer], timeout=10) == ([writer], [])
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not folder.exists()
    assert reader.is_running()
    reader.kill()


def test_the_folder_of_a_process_that_was_killed_with_all_others_is_removed_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_folders(monkeypatch)
    process, abandoned, *_ = hold()
    with ray_folder():
        assert abandoned.exists()
    for each in psutil.Process(process.pid).children():
        each.kill()
    process.kill()
    process.communicate()
    with ray_folder():
        assert not abandoned.exists()


def test_a_folder_without_a_lock_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    set_folders(monkeypatch)
    foreign = Path("/tmp") / f"{PREFIX}foreign"
    foreign.mkdir(exist_ok=True)
    with ray_folder() as folder:
        assert (folder / lock.NAME).exists()
        assert foreign.exists()
    foreign.rmdir()


@pytest.mark.parametrize("missing", ["home", "shared memory"])
def test_what_is_missing_is_named_with_its_remedy(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scratch.diagnose() == []
    if missing == "home":
        monkeypatch.setenv("HOME", READ_ONLY)
        expected = f"HOME={READ_ONLY} cannot be written"
    else:
        monkeypatch.setattr(scratch, "SHARED_MEMORY", Path("/none"))
        expected = "/none is missing or cannot be written"
    (line,) = scratch.diagnose()
    assert expected in line
    assert "\n" not in line


def test_the_temporary_folder_of_this_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / f"{JOB_PREFIX}1"
    own.mkdir()
    set_folders(monkeypatch, RAY_TMPDIR="/var/tmp")
    monkeypatch.setattr(scratch, "short_temporary_folder", lambda: tmp_path)
    with lock.held(own, lock.TRAINS, "job"):
        with ray_folder():
            pass
        assert own.is_dir()
    with ray_folder():
        pass
    assert not own.exists()


def test_a_folder_whose_lock_is_about_to_be_taken_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = tmp_path / f"{PREFIX}0"
    starting.mkdir()
    (starting / lock.NAME).touch()
    monkeypatch.setattr(scratch, "short_temporary_folder", lambda: tmp_path)
    with ray_folder():
        assert starting.is_dir()
