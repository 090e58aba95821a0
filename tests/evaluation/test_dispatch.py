"""Episodes depend on their seeds alone: neither workers nor the number of episodes at once change a result."""

import multiprocessing
from functools import partial
from typing import Any

import pytest

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.evaluation.dispatch import EvaluationFailed, describe, run_episodes
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.rollout import PolicyRollouts, Stopped
from dreamer_exp.evaluation.workers.processes import kept_processes, processes
from tests.evaluation.mortal import Asleep, Mortal
from tests.evaluation.policies import network_policy
from tests.experiments import nano


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """Return an experiment whose episodes end at different steps."""
    return nano("env.scenario=crossing", "env.max_steps=60", "evaluation.episodes=9")


class Path:
    """A `Watch` that keeps the robot's positions."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def __call__(self, env: Any) -> None:
        self.points.append(env.unwrapped.robot_position())


def paths(experiment: Experiment, **options: Any) -> list[Any]:
    """Return results and positions of a network's episodes."""
    finished = evaluate_policy(experiment, network_policy(experiment), Path, **options)
    return [(each.episode, each.result, each.recording.points) for each in finished]


@pytest.fixture(scope="module")
def alone(experiment: Experiment) -> list[Any]:
    """Return the episodes run one after the other in this process."""
    return paths_at_once(experiment, 1)


def paths_at_once(experiment: Experiment, at_once: int) -> list[Any]:
    make = partial(PolicyRollouts, experiment, network_policy(experiment), Path)
    finished = run_episodes(make, episode_list(experiment).episodes, at_once=at_once)
    return [(each.episode, each.result, each.recording.points) for each in finished]


def test_the_episodes_differ(alone: list[Any]) -> None:
    assert len({tuple(points) for _, _, points in alone}) == len(alone)
    assert len({result.length for _, result, _ in alone}) > 1


@pytest.mark.parametrize("at_once", [2, 4, 9])
def test_episodes_are_equal_bit_for_bit_however_many_run_at_once(
    experiment: Experiment, alone: list[Any], at_once: int
) -> None:
    assert paths_at_once(experiment, at_once) == alone


@pytest.mark.parametrize("number", [1, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_episodes_are_equal_bit_for_bit_in_any_number_of_processes(
    experiment: Experiment, alone: list[Any], number: int
) -> None:
    assert paths(experiment, workers=partial(processes, number=number)) == alone


def test_episodes_do_not_depend_on_the_others_of_the_evaluation(experiment: Experiment, alone: list[Any]) -> None:
    make = partial(PolicyRollouts, experiment, network_policy(experiment), Path)
    last, *others = reversed(episode_list(experiment).episodes)
    (finished, *_) = run_episodes(make, [last, others[0]], at_once=2)
    assert (finished.episode, finished.result, finished.recording.points) == alone[-1]


def test_a_baseline_is_equal_in_processes(
    experiment: Experiment, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for number in (0, 2):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / str(number)))  # both run
        options = {"workers": partial(processes, number=number)} if number else {}
        found.append(evaluate_baseline(experiment, "random", **options))
    assert found[0] == found[1]


def test_kept_processes_run_several_evaluations(experiment: Experiment, alone: list[Any], tmp_path: Any) -> None:
    with kept_processes(3) as workers:
        assert paths(experiment, workers=workers) == alone
        before = multiprocessing.active_children()
        few = run_episodes(partial(Mortal, tmp_path, deaths=0), EPISODES[:2], at_once=1, workers=workers)
        assert [each.episode for each in few] == EPISODES[:2]
        assert paths(experiment, workers=workers) == alone
        assert multiprocessing.active_children() == before
        assert len(before) == 3
    assert not multiprocessing.active_children()


def test_a_kept_process_that_died_between_evaluations_is_replaced(experiment: Experiment, alone: list[Any]) -> None:
    with kept_processes(2) as workers:
        assert paths(experiment, workers=workers) == alone
        multiprocessing.active_children()[0].kill()
        assert paths(experiment, workers=workers) == alone


EPISODES = [EvaluationEpisode(seed) for seed in range(5)]


def test_the_episodes_of_a_dead_process_run_again(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    make = partial(Mortal, tmp_path, deaths=1)
    finished = run_episodes(make, EPISODES, at_once=2, workers=partial(processes, number=2))
    assert [each.episode for each in finished] == EPISODES
    (line,) = [record.getMessage() for record in caplog.records]
    assert "was killed by SIGKILL (out of memory?) while it ran the episode" in line


def test_an_episode_whose_processes_die_twice_is_reported_in_one_line(tmp_path: Any) -> None:
    make = partial(Mortal, tmp_path, deaths=9)
    with pytest.raises(EvaluationFailed, match=r"^evaluation: process \d+ was killed by SIGKILL .*seed.*$"):
        run_episodes(make, EPISODES, at_once=2, workers=partial(processes, number=2))


def test_an_exception_of_an_episode_is_raised_here(tmp_path: Any) -> None:
    make = partial(Mortal, tmp_path, deaths=0, error=ValueError("no such door"))
    with pytest.raises(ValueError, match="no such door"):
        run_episodes(make, EPISODES, at_once=2, workers=partial(processes, number=2))


def test_an_interrupted_evaluation_ends_its_processes_at_once(tmp_path: Any) -> None:
    make, answers = partial(Asleep, tmp_path, deaths=0), iter([False, True])
    with pytest.raises(Stopped):
        run_episodes(make, EPISODES, at_once=2, workers=partial(processes, number=2), should_stop=lambda: next(answers))
    assert multiprocessing.active_children() == []


def test_many_lost_episodes_are_described_by_the_first_seeds() -> None:
    assert describe(EPISODES[:1]) == "the episode of seed 0"
    assert describe(EPISODES) == "the episodes of the seeds 0, 1, 2, 3 and 1 more"
