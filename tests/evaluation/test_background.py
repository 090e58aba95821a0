"""Evaluations in a thread: how one ends."""

from concurrent.futures import Future

import pytest

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.background import BackgroundEvaluation, BackgroundEvaluations
from dreamer_exp.evaluation.dispatch import EvaluationFailed
from dreamer_exp.evaluation.rollout import Stopped
from dreamer_exp.rundir.metric_names import TRAINED


def ended_by(error: Exception) -> BackgroundEvaluation:
    def run(stop: object) -> list[EpisodeResult]:
        raise error

    evaluations = BackgroundEvaluations()
    evaluations.start(BackgroundEvaluation("dreamerv3", TRAINED, 64, 8, None, "evaluating"), run, lambda: False)
    (evaluation,) = evaluations.queue
    evaluation.results.exception(timeout=10)
    return evaluation


def test_an_error_of_the_environment_is_its_failure() -> None:
    evaluation = ended_by(ValueError("the simulator\nfailed"))
    assert evaluation.failure() == "ValueError: the simulator"
    assert not evaluation.is_complete()


@pytest.mark.parametrize("error", [Stopped(), EvaluationFailed("workers died")])
def test_a_stop_and_dead_workers_are_reported_elsewhere(error: Exception) -> None:
    assert ended_by(error).failure() is None


def test_one_that_runs_has_no_failure() -> None:
    evaluation = BackgroundEvaluation("dreamerv3", TRAINED, 64, 8, None, "evaluating")
    evaluation.results = Future()
    assert evaluation.failure() is None
