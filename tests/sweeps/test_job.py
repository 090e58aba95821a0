"""One job: what counts as finished, and how an end is judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.runs.directory import RunDirectory, write_json, write_text
from dreamer_exp.sweeps.job import Limits, is_finished
from tests.experiments import nano


def done(root: Path, asked: Experiment, state: str = "finished") -> Path:
    write_text(RunDirectory(root).experiment, asked.to_yaml())
    write_json(RunDirectory(root).summary, {"state": state, "fingerprint": asked.fingerprint()})
    return root


def test_a_run_that_is_done_is_known_by_its_fingerprint(tmp_path: Path) -> None:
    assert is_finished(done(tmp_path, nano()), nano())


def test_another_experiment_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("algo.gamma=0.9"))


def test_a_longer_one_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano()), nano("run.train_iterations=3000"))


def test_one_that_was_interrupted_is_not(tmp_path: Path) -> None:
    assert not is_finished(done(tmp_path, nano(), "interrupted"), nano())


def test_one_that_auto_would_resolve_differently_here_is(tmp_path: Path) -> None:
    there = nano()
    here = replace(there, hardware=replace(there.hardware, num_env_runners=3, num_cpus=8))
    assert is_finished(done(tmp_path, there), here)


def test_an_empty_directory_is_not(tmp_path: Path) -> None:
    assert not is_finished(tmp_path, nano())


@pytest.mark.parametrize(("given", "limit"), [("8 GiB", 8 * 2**30), (1000, 1000), (None, None)])
def test_a_jobs_memory_is_limited_in_bytes_or_words(given: object, limit: int | None) -> None:
    config = type("Sweep", (), {"job_memory": given, "job_timeout": None})
    assert Limits.of(config) == Limits(None, limit)  # type: ignore[arg-type]
