"""Resuming a sweep with sweep.resume."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.sweeps.records import SweepRecord
from dreamer_exp.sweeps.resume import command_line, refuse_other_jobs, refuse_second_sweep
from tests.paths import CHECKOUT


def test_other_command_lines_are_unchanged() -> None:
    assert command_line(["-m", "run.seed=1,2"]) == ["-m", "run.seed=1,2"]


def test_the_command_line_of_the_sweep_runs_in_its_directory(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "run.seed=1,2"], ["run.seed=1", "run.seed=2"], 2).write(tmp_path)
    assert command_line([f"sweep.resume={tmp_path}"]) == ["-m", "run.seed=1,2", f"hydra.sweep.dir='{tmp_path}'"]


def test_new_overrides_follow_the_earlier_ones(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "run.seed=1,2"], ["run.seed=1", "run.seed=2"], 2).write(tmp_path)
    assert command_line(["-m", f"sweep.resume={tmp_path}", "run.train_iterations=9"])[2] == "run.train_iterations=9"


def test_a_folder_without_a_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no sweep .*name a folder of multirun/"):
        command_line([f"sweep.resume={tmp_path}"])


@pytest.mark.parametrize(
    ("key", "value"), [("words", 5), ("words", [1]), ("names", None), ("slots", "x"), ("cwd", {}), ("pid", 1.5)]
)
def test_a_sweep_with_values_of_other_types_is_refused_with_the_key(tmp_path: Path, key: str, value: object) -> None:
    record = asdict(SweepRecord.new(["-m", "run.seed=1,2"], ["run.seed=1", "run.seed=2"], 2))
    write_json(tmp_path / "sweep.json", {**record, key: value})
    with pytest.raises(UserError, match=rf"holds no sweep \({key} has a value of another type\)"):
        command_line([f"sweep.resume={tmp_path}"])


def hold(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that has the lock of a folder, until its standard input closes."""
    code = "import sys, pathlib; from dreamer_exp.rundir import lock; "
    code += "lock.hold(pathlib.Path(sys.argv[1]), lock.TRAINS, ''); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(CHECKOUT)})  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.parametrize("words", [(), ("dry_run=true",)])
def test_a_running_sweep_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    process = hold(tmp_path)
    try:
        with pytest.raises(UserError, match=f"in use by process {process.pid} on"):
            command_line([f"sweep.resume={tmp_path}", *words])
    finally:
        process.communicate()


def test_a_search_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m", "hydra/sweeper=optuna"], [], 1).write(tmp_path)
    with pytest.raises(UserError, match="its sweeper chose its jobs"):
        command_line([f"sweep.resume={tmp_path}"])


def test_a_second_sweep_in_one_directory_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    with pytest.raises(UserError, match=r"already holds a sweep: .* sweep\.resume="):
        refuse_second_sweep(tmp_path)


def test_a_new_directory_is_accepted(tmp_path: Path) -> None:
    refuse_second_sweep(tmp_path / "new")


def test_other_jobs_than_those_of_the_sweep_are_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1", "run.seed=2"], 1).write(tmp_path)
    refuse_other_jobs(tmp_path, ["run.seed=1", "run.seed=2"])
    with pytest.raises(UserError, match="make 3 jobs that differ from its 2"):
        refuse_other_jobs(tmp_path, ["run.seed=1", "run.seed=2", "run.seed=3"])


def test_a_sweep_with_a_running_job_is_refused(tmp_path: Path) -> None:
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    (tmp_path / "0_seed=1").mkdir()
    process = hold(tmp_path / "0_seed=1")
    try:
        with pytest.raises(UserError, match=f"0_seed=1: in use by process {process.pid} on"):
            command_line([f"sweep.resume={tmp_path}"])
    finally:
        process.communicate()


def test_relative_paths_keep_their_meaning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    SweepRecord.new(["-m"], ["run.seed=1"], 1).write(tmp_path)
    monkeypatch.chdir(tmp_path)
    command_line([f"sweep.resume={tmp_path}"])
    assert Path.cwd() == tmp_path / "there"
