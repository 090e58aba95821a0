"""One job: what counts as finished, and how an end is judged."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from dreamer_exp.config.compose import compose_words
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.status import read_status
from dreamer_exp.sweeps.job import is_finished, part_of
from dreamer_exp.sweeps.records import JobRecord, SweepRecord
from dreamer_exp.sweeps.watch import Limits, judge
from tests.experiments import NANO, machine, nano

CONFIG = compose_words(NANO)


def done(root: Path, asked: Experiment, state: str = "finished") -> Path:
    write_text(RunDirectory(root).experiment, asked.to_yaml())
    write_json(RunDirectory(root).summary, {"state": state, "fingerprint": asked.fingerprint()})
    return root


def test_a_run_that_is_done_is_known_by_its_fingerprint(tmp_path: Path) -> None:
    assert is_finished(done(tmp_path, nano()), nano(), CONFIG)


def test_another_experiment_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("algo.gamma=0.9"), CONFIG)


def test_a_longer_one_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("run.train_iterations=3000"), CONFIG)


def test_one_that_was_interrupted_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano(), "interrupted"), nano(), CONFIG)


def test_one_that_auto_would_resolve_differently_here_is(tmp_path: Path) -> None:
    there = nano()
    here = replace(there, hardware=replace(there.hardware, num_env_runners=3, num_cpus=8))
    assert is_finished(done(tmp_path, there), here, CONFIG)


def test_one_whose_updates_auto_would_compute_otherwise_here_is(tmp_path: Path) -> None:
    here = nano()
    there = replace(here, algo=replace(here.algo, kernels="graph", precision="tf32", replay_device="cuda"))
    assert is_finished(done(tmp_path, there), here, CONFIG)


def test_one_that_was_asked_to_compute_otherwise_is_not(tmp_path: Path) -> None:
    there = replace(nano(), algo=replace(nano().algo, precision="bfloat16"))
    assert not is_finished(done(tmp_path, there), nano(), compose_words([*NANO, "algo.precision=float32"]))


def test_memory_is_that_of_the_sweeps_start_and_not_what_other_jobs_left() -> None:
    record = SweepRecord.new(["-m"], ["a", "b", "c", "d"], 4, memory=16 * 2**30)
    assert part_of(machine(cpus=8, memory_bytes=2**30), record).memory_available_bytes == 4 * 2**30


def test_a_job_with_a_machine_of_its_own_has_what_is_free_there() -> None:
    mine = machine(cpus=8, memory_bytes=2**30)
    assert part_of(mine, SweepRecord.new(["-m"], ["a"], None, memory=16 * 2**30)) == mine


JOB = JobRecord(0, "run.seed=1", "running", started_utc="2026-01-01T00:00:00+00:00")


def status(sweep: Path, state: str, updated: str = "2026-01-01T00:00:09+00:00", error: str | None = None) -> Path:
    root = sweep / "0_seed=1"
    told = {"type": "RuntimeError", "message": error} if error else None
    write_json(RunDirectory(root).status, {"state": state, "updated_utc": updated, "error": told})
    write_text(root / "console.log", "dreamer_exp: what was said last\n")
    return root


@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        (0, "finished", None),
        (143, "interrupted", "interrupted by SIGTERM"),
        (-signal.SIGSEGV, "failed", "killed by SIGSEGV"),
        (-signal.SIGKILL, "failed", "killed by SIGKILL (out of memory?)"),
        (2, "failed", "exit code 2: what was said last"),
    ],
)
def test_an_end_is_judged_by_its_exit_code(tmp_path: Path, code: int, state: str, error: str | None) -> None:
    ended = judge(status(tmp_path, "running"), JOB, code, None)
    assert (ended.state, ended.error) == (state, error)


def test_a_job_killed_by_the_sweeps_stop_was_interrupted(tmp_path: Path) -> None:
    root = status(tmp_path, "running")
    (tmp_path / "stop").touch()
    assert judge(root, JOB, -signal.SIGKILL, None).error == "stopped with the sweep"
    assert read_status(root)["state"] == "interrupted"


def test_a_runs_own_error_is_told(tmp_path: Path) -> None:
    assert judge(status(tmp_path, "failed", error="boom"), JOB, 1, None).error == "RuntimeError: boom"


def test_an_earlier_trys_error_is_not(tmp_path: Path) -> None:
    root = status(tmp_path, "failed", updated="2025-12-31T00:00:00+00:00", error="boom of last week")
    assert judge(root, JOB, 2, None).error == "exit code 2: what was said last"


def test_an_empty_directory_is_not(tmp_path: Path) -> None:
    assert not is_finished(tmp_path, nano(), CONFIG)


@pytest.mark.parametrize(("given", "limit"), [("8 GiB", 8 * 2**30), (1000, 1000), (None, None)])
def test_a_jobs_memory_is_limited_in_bytes_or_words(given: object, limit: int | None) -> None:
    config = type("Sweep", (), {"job_memory": given, "job_timeout": None})
    assert Limits.of(config) == Limits(None, limit)  # type: ignore[arg-type]
