"""sweep.resume: the words of an earlier sweep once more."""

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.sweeps.records import SweepRecord
from dreamer_exp.sweeps.resume import refuse_other_jobs, refuse_second_sweep, words


def test_other_command_lines_stay_as_they_are() -> None:
    assert words(["-m", "run.seed=1,2"]) == ["-m", "run.seed=1,2"]


def test_it_is_the_earlier_command_line_in_the_same_directory(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "run.seed=1,2"], ["run.seed=1", "run.seed=2"], 2).write(tmp_path)
    assert words([f"sweep.resume={tmp_path}"]) == ["-m", "run.seed=1,2", f"hydra.sweep.dir='{tmp_path}'"]


def test_further_words_come_after_the_earlier_ones_and_win(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "run.seed=1,2"], ["run.seed=1", "run.seed=2"], 2).write(tmp_path)
    assert words(["-m", f"sweep.resume={tmp_path}", "run.train_iterations=9"])[2] == "run.train_iterations=9"


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sweep .*name a folder of multirun/"):
        words([f"sweep.resume={tmp_path}"])


def test_a_sweep_that_is_at_work_is_refused(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    replace(SweepRecord.new(["-m"], ["run.seed=1"], 1), pid=process.pid).write(tmp_path)
    try:
        with pytest.raises(UserError, match=f"is at work, as process {process.pid}"):
            words([f"sweep.resume={tmp_path}"])
    finally:
        process.communicate()


def test_a_sweep_whose_sweeper_chose_the_jobs_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "hydra/sweeper=optuna"], [], 1).write(tmp_path)
    with pytest.raises(UserError, match="its sweeper chose its jobs on the way"):
        words([f"sweep.resume={tmp_path}"])


def test_a_second_sweep_in_one_directory_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    with pytest.raises(UserError, match=r"already holds a sweep: .* sweep\.resume="):
        refuse_second_sweep(tmp_path)


def test_a_fresh_directory_is_taken(tmp_path: Path) -> None:
    refuse_second_sweep(tmp_path / "new")


def test_other_jobs_than_the_sweeps_are_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1", "run.seed=2"], 1).write(tmp_path)
    refuse_other_jobs(tmp_path, ["run.seed=1", "run.seed=2"])
    with pytest.raises(UserError, match="make 3 jobs that are not its 2"):
        refuse_other_jobs(tmp_path, ["run.seed=1", "run.seed=2", "run.seed=3"])


def test_a_sweep_whose_jobs_live_on_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    told = {"state": "running", "pid": process.pid, "host": socket.gethostname()}
    write_json(tmp_path / "0_seed=1" / "status.json", told)
    try:
        with pytest.raises(UserError, match=f"0_seed=1 is still at work, as process {process.pid}"):
            words([f"sweep.resume={tmp_path}"])
    finally:
        process.communicate()


def test_relative_paths_mean_what_they_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    monkeypatch.chdir(tmp_path)
    words([f"sweep.resume={tmp_path}"])
    assert Path.cwd() == tmp_path / "there"


def test_a_sweep_that_has_ended_unnoticed_is_not_at_work(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "print('over', flush=True)"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read() == b"over\n"
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    replace(SweepRecord.new(["-m"], ["run.seed=1"], 1), pid=process.pid).write(tmp_path)
    assert words([f"sweep.resume={tmp_path}"])[0] == "-m"
    process.wait()
