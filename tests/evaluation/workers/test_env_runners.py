"""The env runners of a run as workers: the same episodes, and the same samples for training."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import ray

from dreamer_exp.algorithms.dreamerv3_rllib.algorithm import StockDreamerV3
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.evaluation.dispatch import EvaluationFailed, run_episodes
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.evaluate import evaluate_policy
from dreamer_exp.evaluation.rollout import Finished, MakePolicy, PolicyRollouts
from dreamer_exp.evaluation.schedule import workers_of
from dreamer_exp.evaluation.workers.base import this_process
from tests.experiments import nano

pytestmark = pytest.mark.usefixtures("ray_local")

EXPERIMENT = nano(
    "env.scenario=crossing",
    "env.max_steps=40",
    "evaluation.episodes=5",
    "hardware.num_env_runners=2",
    "hardware.num_cpus=2",
)


@pytest.fixture(scope="module", params=["dreamerv3", pytest.param("dreamerv3_rllib", marks=pytest.mark.slow)])
def algorithm(ray_local: None, request: pytest.FixtureRequest) -> Iterator[BaseDreamerV3]:
    """Yield an algorithm that has all of Ray's CPUs; the last tests of this module kill its env runners."""
    built = build_algorithm(
        nano(f"algo={request.param}", "hardware.num_env_runners=2", "hardware.num_cpus=2", "env.scenario=crossing")
    )
    yield built
    built.stop()


def policy_of(algorithm: BaseDreamerV3) -> MakePolicy:
    name = "dreamerv3_rllib" if isinstance(algorithm, StockDreamerV3) else "dreamerv3"
    make: MakePolicy = find_spec("algorithms", name).load().policy_maker(algorithm.module_to_evaluate())
    return make


def evaluate(algorithm: BaseDreamerV3, **options: Any) -> list[Finished]:
    return evaluate_policy(EXPERIMENT, policy_of(algorithm), **options)


def sampled(algorithm: BaseDreamerV3) -> list[np.ndarray]:
    chunks, _ = algorithm._request_fragment()
    return sorted((np.stack(chunk.get_observations()) for chunk in chunks), key=lambda array: array.tobytes())


@pytest.mark.slow
def test_an_evaluation_between_fragments_does_not_change_the_next_one(ray_local: None) -> None:
    fragments = []
    for evaluated in (False, True):
        algorithm = build_algorithm(EXPERIMENT)
        sampled(algorithm)
        if evaluated:
            evaluate(algorithm, workers=workers_of(algorithm))
        fragments.append(sampled(algorithm))
        algorithm.stop()
    assert all(map(np.array_equal, *fragments))


def test_env_runners_run_the_same_episodes_as_the_main_process(algorithm: BaseDreamerV3) -> None:
    assert len(algorithm.env_runner_actors()) == 2
    assert evaluate(algorithm, workers=workers_of(algorithm)) == evaluate(algorithm, workers=this_process)


@pytest.mark.parametrize("algorithm", ["dreamerv3"], indirect=True)
@pytest.mark.slow
def test_the_episodes_of_a_dead_env_runner_run_in_the_others(
    algorithm: BaseDreamerV3, caplog: pytest.LogCaptureFixture
) -> None:
    expected = evaluate(algorithm)
    victim, *_ = algorithm.env_runner_actors().values()
    ray.kill(victim)
    assert evaluate(algorithm, workers=workers_of(algorithm)) == expected
    assert sum("env runner 1 died" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("algorithm", ["dreamerv3"], indirect=True)
@pytest.mark.slow
def test_without_env_runners_left_the_evaluation_fails_in_one_line(algorithm: BaseDreamerV3) -> None:
    actors = algorithm.env_runner_actors()
    make = partial(PolicyRollouts, EXPERIMENT, policy_of(algorithm))
    for actor in actors.values():
        ray.kill(actor)
    with pytest.raises(EvaluationFailed, match=r"evaluation: env runner . died .* with none left to try"):
        run_episodes(make, episode_list(EXPERIMENT).episodes, at_once=4, workers=workers_of(algorithm))
