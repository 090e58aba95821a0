"""Evaluations in the background of a training loop: what they write, and that training does not depend on them."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.numpy import load_file

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints.manifest import named_checkpoint
from dreamer_exp.checkpoints.policy_file import load_policy
from dreamer_exp.checkpoints.resume import point
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.evaluation.evaluate import evaluate_policy
from dreamer_exp.evaluation.workers.base import this_process
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import score
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.training.context import RunContext
from dreamer_exp.training.loop import loop, save, take_results
from tests.experiments import machine, nano

pytestmark = pytest.mark.usefixtures("ray_local")

# two iterations of 32 steps between evaluations
WORDS = (
    "hardware.num_env_runners=2",
    "hardware.num_cpus=2",
    "hardware.overlap_sampling=always",
    "env.scenario=crossing",
    "env.max_steps=60",
    "evaluation.episodes=4",
    "evaluation.every_env_steps=64",
    "evaluation.baselines=[random]",
    "run.train_iterations=5",
    "tracking=none",
)


class Trained(NamedTuple):
    """What a loop left."""

    directory: RunDirectory
    output: str

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        return read_rows(self.directory.evaluation)

    def weights(self, pointer: str = "latest") -> dict[str, bytes]:
        checkpoint = named_checkpoint(self.directory.checkpoints, pointer)
        assert checkpoint is not None
        return {name: tensor.tobytes() for name, tensor in load_file(checkpoint / "policy.safetensors").items()}


def train(
    root: Path, experiment: Experiment, stop: Callable[[RunContext], bool] = lambda run: False, resumes: bool = False
) -> Trained:
    """Run the loop as a run does, until `stop` returns True; it is called between iterations and updates."""
    directory = RunDirectory(root)
    checkpoints = CheckpointStore(directory.checkpoints, experiment.run.keep_checkpoints)
    kept = point.find_resume_point(checkpoints) if resumes else None
    contract = contract_of(experiment.env, experiment.obs_contract)
    run = RunContext(experiment, contract, machine(), directory, checkpoints=checkpoints, resume_point=kept)
    algorithm = build_algorithm(experiment)
    if kept:
        run.restore(kept)
        point.restore(algorithm, kept)
    with run.console.capture() as captured:
        loop(run, algorithm, lambda: stop(run))
        take_results(run, lambda: True)
        save(run, algorithm)
    algorithm.stop()
    return Trained(directory, captured.get())


@pytest.fixture(scope="module")
def trained(ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(tmp_path_factory.mktemp("trained"), nano(*WORDS, "run.keep_checkpoints=9"))


def test_rows_have_the_order_and_the_steps_of_the_evaluated_weights(trained: Trained) -> None:
    assert [(row["policy"], row["env_steps"], row["updates"]) for row in trained.evaluations] == [
        ("random", 0, 0),
        ("dreamerv3", 0, 0),
        ("dreamerv3", 64, 8),
        ("dreamerv3", 128, 16),
        ("dreamerv3", 160, 20),
    ]


def test_rows_equal_those_of_an_evaluation_that_waits(trained: Trained) -> None:
    experiment = nano(*WORDS)
    for row in trained.evaluations[2:]:
        module = load_policy(trained.directory.checkpoints / f"{row['env_steps']:09d}")
        make = spec_of(experiment.algo).load().policy_maker(module)
        waited = evaluate_policy(experiment, make, workers=this_process)
        assert row["outcomes"] == [{**finished.result.to_dict(), "seed": finished.episode.seed} for finished in waited]


def test_best_is_the_checkpoint_of_the_best_row(trained: Trained) -> None:
    best = max(trained.evaluations[2:], key=score)
    found = named_checkpoint(trained.directory.checkpoints, "best")
    assert found is not None
    assert found.name == f"{best['env_steps']:09d}"


@pytest.mark.slow
def test_training_does_not_depend_on_when_evaluations_end(trained: Trained, tmp_path: Path) -> None:
    def slow(run: RunContext) -> bool:
        time.sleep(0.1)  # the evaluations end in earlier iterations
        return False

    repeated = train(tmp_path, nano(*WORDS, "run.keep_checkpoints=9"), slow)
    assert repeated.weights() == trained.weights()
    assert repeated.evaluations == trained.evaluations


LONG = ("evaluation.episodes=64", "env.max_steps=400", "evaluation.baselines=[]", "run.train_iterations=50")


@pytest.mark.slow
def test_the_checkpoint_in_evaluation_is_kept(tmp_path: Path) -> None:
    kept: list[bool] = []

    def stop(run: RunContext) -> bool:
        if (checkpoint := run.evaluations.checkpoint_in_evaluation) and run.last_checkpoint != checkpoint:
            kept.append(checkpoint.exists())
        return bool(kept)

    train(tmp_path, nano(*WORDS, *LONG, "run.checkpoint_every=1", "run.keep_checkpoints=1"), stop)
    assert kept == [True]


@pytest.mark.slow
def test_an_interrupt_drops_the_evaluation_that_runs(tmp_path: Path) -> None:
    interrupted = train(tmp_path, nano(*WORDS, *LONG), lambda run: run.counters.env_steps >= 32)
    assert interrupted.evaluations == []
    assert "not finished, dropped: evaluating the policy after 0 steps: " in interrupted.output
    assert interrupted.weights()


@pytest.mark.slow
def test_a_resume_evaluates_at_its_checkpoint_what_an_interrupt_dropped(tmp_path: Path) -> None:
    train(tmp_path, nano(*WORDS, *LONG), lambda run: run.counters.env_steps >= 96)
    resumed = train(tmp_path, nano(*WORDS, "run.train_iterations=3", "evaluation.episodes=1"), resumes=True)
    assert [(row["policy"], row["env_steps"]) for row in resumed.evaluations] == [
        ("dreamerv3", 0),
        ("random", 0),  # was missing
        ("dreamerv3", 96),
    ]


@pytest.mark.parametrize(
    "word", ["hardware.num_env_runners=0", pytest.param("evaluation.max_parallel_envs=1", marks=pytest.mark.slow)]
)
def test_without_env_runners_or_with_one_environment_an_evaluation_waits(tmp_path: Path, word: str) -> None:
    background: list[str | None] = []

    def stop(run: RunContext) -> bool:
        background.append(run.evaluations.meanwhile)
        return False

    trained = train(tmp_path, nano(*WORDS, word, "run.train_iterations=1"), stop)
    assert set(background) == {None}
    assert len(trained.evaluations) == 3
