"""Run directories of release 0.1 can be evaluated and compared; resume refuses them in one line.

tests/data/release_0_1 holds a run of each learner of that release on CartPole, one of them with the policy of a
checkpoint.
"""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from dreamer_exp.checkpoints.resume.prepare import prepare_resume
from dreamer_exp.cli.evaluate import evaluate, read_words
from dreamer_exp.compare.read import read_run
from dreamer_exp.config import saved_experiment
from dreamer_exp.config.errors import UserError
from tests import programs
from tests.paths import CHECKOUT

DATA = CHECKOUT / "tests" / "data" / "release_0_1"
each_algorithm = pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])


@pytest.fixture
def run(tmp_path: Path, algo: str) -> Path:
    return Path(shutil.copytree(DATA / algo, tmp_path / algo))


@each_algorithm
def test_the_experiment_is_read_with_the_algorithm_as_an_option(run: Path, algo: str) -> None:
    config, _ = saved_experiment.recompose(run / "experiment.yaml", [])

    assert (config.algo.name, config.algo.batch_size_B) == (algo, 4)
    assert "learner" not in config.algo


@pytest.mark.parametrize("algo", ["dreamerv3_rllib"])
def test_the_policy_is_evaluated(run: Path) -> None:
    evaluate(read_words([str(run), "episodes=1"]), Console(quiet=True))

    assert len(list((run / "report").glob("evaluation_gym_*.json"))) == 1


@each_algorithm
def test_the_run_is_read_for_a_comparison(run: Path, algo: str) -> None:
    read = read_run(run, "old")

    assert (read.faults, read.config["algo.name"], read.state) == ((), algo, "finished")
    assert read.provenance.get("kernels") is None


def test_both_runs_are_compared(tmp_path: Path) -> None:
    shutil.copytree(DATA, tmp_path / "runs")
    done = programs.run(str(tmp_path / "runs"), module="dreamer_exp.compare", cwd=tmp_path)

    assert done.returncode == 0, done.stderr


@each_algorithm
def test_resume_is_refused_in_one_line(run: Path) -> None:
    with pytest.raises(UserError) as refused:
        prepare_resume([f"resume={run}", "run.train_iterations=9"])

    assert str(refused.value) == (
        f"resume={run}: a run of release 0.1, whose checkpoints name classes that no longer exist; evaluate and "
        "compare still read it. Start a new run to train further."
    )
