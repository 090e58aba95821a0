"""Sweeps as users run them: real jobs, some of which crash."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from dreamer_exp.rundir.reader import read_rows
from tests.sweeps.sweeping import WORDS, begin, only_sweep, read, run, states

pytestmark = pytest.mark.end_to_end

SIX = ("algo.training_ratio=2,4", "run.seed=1,2,3")
TROUBLE = {"1": "signal", "2": "exception", "4": "memory"}
OTHERS = (0, 3, 5)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run six jobs, three of which fail in different ways."""
    folder = tmp_path_factory.mktemp("six")
    ended = run(folder, "-m", *WORDS, *SIX, "sweep.job_memory=1 GiB", TROUBLE=json.dumps(TROUBLE))
    return only_sweep(folder), ended


@pytest.mark.slow
def test_a_crash_fails_one_job(six: Any) -> None:
    sweep, (_, out, err) = six
    assert {num: state for num, state in states(sweep).items() if state != "finished"} == {
        1: "failed", 2: "failed", 4: "failed"
    }, out + err  # fmt: skip
    assert len(states(sweep)) == 6


@pytest.mark.slow
def test_the_exit_code_reports_a_failed_job(six: Any) -> None:
    assert six[1][0] == 1


@pytest.mark.slow
def test_each_failure_is_printed_with_its_first_line_and_log(six: Any) -> None:
    sweep, (_, out, _) = six
    for num, name, error in (
        (1, "training_ratio=2 seed=2", "killed by SIGSEGV"),
        (2, "training_ratio=2 seed=3", "the wheels came off"),
        (4, "training_ratio=4 seed=2", "sweep.job_memory=1.0 GiB"),
    ):
        (line,) = [line for line in out.splitlines() if line.startswith(f"job {num} ({name}) failed: ")]
        assert error in line
        assert f"{sweep}/{num}_{name.replace(' ', ',')}/console.log" in out


@pytest.mark.slow
def test_only_the_sweep_prints(six: Any) -> None:
    assert six[1][2] == ""


@pytest.mark.slow
def test_the_status_of_a_crashed_job_is_failed(six: Any) -> None:
    status = read(next(six[0].glob("1_*")) / "status.json")
    assert (status["state"], status["error"]["message"]) == ("failed", "killed by SIGSEGV")


@pytest.mark.slow
def test_each_job_has_a_log(six: Any) -> None:
    logs = [path.read_text() for path in six[0].glob("*/console.log")]
    assert len(logs) == 6
    assert all("dreamerv3 on cpu" in log for log in logs)


@pytest.mark.slow
def test_the_summary_is_also_written_as_csv(six: Any) -> None:
    lines = (six[0] / "sweep_summary.csv").read_text().splitlines()
    assert lines[0].startswith("num,name,state,error,env_steps")
    assert len(lines) == 7


@pytest.mark.slow
def test_no_process_of_the_sweep_remains(six: Any) -> None:
    sweep = str(six[0].parent)
    assert [
        p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if sweep in " ".join(p.info["cmdline"] or [])
    ] == []


@pytest.mark.slow
def test_resuming_runs_only_the_unfinished_jobs(six: Any) -> None:
    sweep, _ = six
    before = {num: (next(sweep.glob(f"{num}_*")) / "result.jsonl").stat().st_mtime_ns for num in OTHERS}
    code, out, err = run(sweep.parents[1], f"sweep.resume={sweep}")
    assert code == 0, out + err
    assert set(states(sweep).values()) == {"finished"}
    assert {num: (next(sweep.glob(f"{num}_*")) / "result.jsonl").stat().st_mtime_ns for num in OTHERS} == before
    rows = [[row["iteration"] for row in read_rows(path)] for path in sweep.glob("*/result.jsonl")]
    assert rows == [[1, 2, 3, 4, 5, 6]] * 6


@pytest.mark.slow
def test_ctrl_c_writes_checkpoints_and_prints_how_to_resume(tmp_path: Path) -> None:
    words = ("-m", *WORDS, "run.train_iterations=100000", "run.checkpoint_every=100000", "run.seed=1,2,3")
    process = begin(tmp_path, *words)
    wait_for(lambda: len(list(tmp_path.glob("multirun/*/*/result.jsonl"))) == 2, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    sweep = only_sweep(tmp_path)
    assert states(sweep) == {0: "interrupted", 1: "interrupted", 2: "waiting"}
    assert len(list(sweep.glob("*/checkpoints/latest"))) == 2
    assert f"sweep.resume={sweep}" in out


@pytest.mark.slow
def test_ctrl_c_ends_a_starting_job(tmp_path: Path) -> None:
    process = begin(tmp_path, "-m", *WORDS, "run.train_iterations=100000", "run.seed=1,2")
    wait_for(lambda: len(list(tmp_path.glob("multirun/*/*/requested.yaml"))) == 2, process)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert set(states(only_sweep(tmp_path)).values()) == {"interrupted"}


@pytest.mark.slow
def test_a_signal_to_the_process_group_writes_checkpoints(tmp_path: Path) -> None:
    words = ("-m", *WORDS, "run.train_iterations=100000", "run.checkpoint_every=100000", "run.seed=1,2")
    process = begin(tmp_path, *words)
    wait_for(lambda: len(list(tmp_path.glob("multirun/*/*/result.jsonl"))) == 2, process)
    for one in (psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)):
        if "ray" not in one.name():  # as a SLURM job's end does
            one.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143, out + err
    assert states(only_sweep(tmp_path)) == {0: "interrupted", 1: "interrupted"}
    assert len(list(only_sweep(tmp_path).glob("*/checkpoints/latest"))) == 2


@pytest.mark.slow
def test_the_time_limit_ends_a_hanging_job(tmp_path: Path) -> None:
    words = ("-m", *WORDS, "run.seed=1,2", "sweep.job_timeout=25", "hydra.launcher.n_jobs=2")
    code, out, _ = run(tmp_path, *words, TROUBLE=json.dumps({"1": "hang"}))
    assert code == 1
    assert states(only_sweep(tmp_path)) == {0: "finished", 1: "failed"}
    assert "job 1 (seed=2) failed: sweep.job_timeout=25" in out


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_process_and_can_be_resumed(tmp_path: Path) -> None:
    process = begin(tmp_path, "-m", *WORDS, "run.seed=1,2", "run.train_iterations=100000")
    wait_for(lambda: len(list(tmp_path.glob("multirun/*/*/result.jsonl"))) == 2, process)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    ended, alive = psutil.wait_procs(family, timeout=60)
    process.communicate()
    assert ended
    assert alive == []
    code, out, err = run(tmp_path, f"sweep.resume={only_sweep(tmp_path)}", "dry_run=true")
    assert code == 0, out + err
    assert "2 jobs" in out


def wait_for(condition: Any, process: Any) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
