"""One job: when it counts as finished, and how its end is recorded."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from dreamer_exp.config.compose import compose_words
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.status import read_status
from dreamer_exp.sweeps.job import is_finished, machine_share
from dreamer_exp.sweeps.records import JobRecord, SweepRecord
from dreamer_exp.sweeps.watch import Limits, end_of
from tests.experiments import NANO, machine, nano

CONFIG = compose_words(NANO)


def done(root: Path, experiment: Experiment, state: str = "finished") -> Path:
    write_text(RunDirectory(root).experiment, experiment.to_yaml())
    write_json(RunDirectory(root).summary, {"state": state, "fingerprint": experiment.fingerprint()})
    return root


def test_a_finished_run_is_recognised_by_its_fingerprint(tmp_path: Path) -> None:
    assert is_finished(done(tmp_path, nano()), nano(), CONFIG)


def test_another_experiment_is_not_finished(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("algo.gamma=0.9"), CONFIG)


def test_a_longer_run_is_not_finished(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("run.train_iterations=3000"), CONFIG)


def test_an_interrupted_run_is_not_finished(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano(), "interrupted"), nano(), CONFIG)


def test_run_whose_auto_hardware_differs_here_is_finished(tmp_path: Path) -> None:
    there = nano()
    here = replace(there, hardware=replace(there.hardware, num_env_runners=3, num_cpus=8))
    assert is_finished(done(tmp_path, there), here, CONFIG)


def test_run_whose_auto_backend_differs_here_is_finished(tmp_path: Path) -> None:
    here = nano()
    there = replace(here, algo=replace(here.algo, backend="cuda_graph", precision="tf32", replay_device="cuda"))
    assert is_finished(done(tmp_path, there), here, CONFIG)


def test_a_run_with_another_requested_precision_is_not_finished(tmp_path: Path) -> None:
    there = replace(nano(), algo=replace(nano().algo, precision="bfloat16"))
    assert not is_finished(done(tmp_path, there), nano(), compose_words([*NANO, "algo.precision=float32"]))


def test_memory_is_a_share_of_what_was_free_when_the_sweep_started() -> None:
    record = SweepRecord.new(["-m"], ["a", "b", "c", "d"], 4, memory=16 * 2**30)
    assert machine_share(machine(cpus=8, memory_bytes=2**30), record).memory_available_bytes == 4 * 2**30


def test_a_job_on_a_separate_machine_has_all_of_its_free_memory() -> None:
    mine = machine(cpus=8, memory_bytes=2**30)
    assert machine_share(mine, SweepRecord.new(["-m"], ["a"], None, memory=16 * 2**30)) == mine


JOB = JobRecord(0, "run.seed=1", "running", started_utc="2026-01-01T00:00:00+00:00")


def status(sweep: Path, state: str, updated: str = "2026-01-01T00:00:09+00:00", error: str | None = None) -> Path:
    root = sweep / "0_seed=1"
    tree = {"type": "RuntimeError", "message": error} if error else None
    write_json(RunDirectory(root).status, {"state": state, "updated_utc": updated, "error": tree})
    write_text(root / "console.log", "dreamer_exp: the last line\n")
    return root


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        (0, "failed", "env.id='A-v0' or one of its libraries ended the process with exit code 0 (os._exit)"),
        (143, "interrupted", "interrupted by SIGTERM"),
        (-signal.SIGSEGV, "failed", "killed by SIGSEGV"),
        (-signal.SIGKILL, "failed", "killed by SIGKILL (out of memory?)"),
        (2, "failed", "exit code 2: the last line"),
    ],
)
def test_the_exit_code_decides_how_a_job_ended(tmp_path: Path, code: int, state: str, error: str | None) -> None:
    ended = end_of(status(tmp_path, "running"), JOB, code, None, "env.id='A-v0'")
    assert (ended.state, ended.error) == (state, error)


def summary(root: Path, state: str, updated: str = "2026-01-01T00:00:09+00:00") -> Path:
    write_json(RunDirectory(root).summary, {"state": state, "updated_utc": updated})
    return root


def test_exit_code_0_with_a_finished_summary_is_a_finished_job(tmp_path: Path) -> None:
    ended = end_of(summary(status(tmp_path, "finished"), "finished"), JOB, 0, None)
    assert (ended.state, ended.error) == ("finished", None)


@pytest.mark.parametrize(("state", "year"), [("failed", 2026), ("running", 2026), ("finished", 2025)])
def test_exit_code_0_with_another_summary_or_an_earlier_attempts_is_a_failed_job(
    tmp_path: Path, state: str, year: int
) -> None:
    root = summary(status(tmp_path, "running"), state, f"{year}-01-01T00:00:00+00:00")
    assert end_of(root, JOB, 0, None).state == "failed"
    assert read_status(root)["state"] == "failed"


def test_a_job_killed_when_the_sweep_stops_is_interrupted(tmp_path: Path) -> None:
    root = status(tmp_path, "running")
    (tmp_path / "stop").touch()
    assert end_of(root, JOB, -signal.SIGKILL, None).error == "stopped with the sweep"
    assert read_status(root)["state"] == "interrupted"


def test_the_error_that_a_run_recorded_is_used(tmp_path: Path) -> None:
    assert end_of(status(tmp_path, "failed", error="boom"), JOB, 1, None).error == "RuntimeError: boom"


def test_the_error_of_an_earlier_attempt_is_not_used(tmp_path: Path) -> None:
    root = status(tmp_path, "failed", updated="2025-12-31T00:00:00+00:00", error="boom of last week")
    assert end_of(root, JOB, 2, None).error == "exit code 2: the last line"


def test_an_empty_directory_is_not_finished(tmp_path: Path) -> None:
    assert not is_finished(tmp_path, nano(), CONFIG)


@pytest.mark.parametrize(("given", "limit"), [("8 GiB", 8 * 2**30), (1000, 1000), (None, None)])
def test_the_memory_limit_takes_bytes_or_text(given: object, limit: int | None) -> None:
    config = type("Sweep", (), {"job_memory": given, "job_timeout": None})
    assert Limits.of(config) == Limits(None, limit)  # type: ignore[arg-type]
