"""The published algorithm in RLlib: replay, seeds, figures, checkpoints, local and remote workers.

tests/algorithms/rllib/test_algorithm.py tests the loop that both algorithms share.
"""

import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID

from dreamer_exp.algorithms.dreamerv3.acting.env_runner import AgentEnvRunner
from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.dreamerv3.learner import EXTRA_STATE_0_1, AgentLearner
from dreamer_exp.algorithms.dreamerv3.spec import SPEC
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.rllib.extra_state import EXTRA_STATE
from tests.experiments import nano

pytestmark = pytest.mark.usefixtures("ray_local")

REMOTE = ("hardware.num_cpus=2", "hardware.num_learners=1")
TWO_RUNNERS = ("hardware.num_cpus=2", "hardware.num_env_runners=2", "hardware.num_envs_per_env_runner=2")
OVERLAPPED = (*TWO_RUNNERS, "hardware.overlap_sampling=always")


@pytest.fixture(scope="module")
def algo() -> str:
    return "dreamerv3"


def build(*overrides: str) -> PublishedDreamerV3:
    algorithm = build_algorithm(nano("algo=dreamerv3", *overrides))
    assert isinstance(algorithm, PublishedDreamerV3)
    return algorithm


def local_learner(algorithm: PublishedDreamerV3) -> AgentLearner:
    found = algorithm.learner_group._learner
    assert isinstance(found, AgentLearner)
    return found


def weights(algorithm: PublishedDreamerV3) -> dict[str, np.ndarray]:
    """Return all parameters of a local or remote learner."""
    state = algorithm.learner_group.get_state(components=[f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"])
    return {k: np.array(v) for k, v in state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID].items()}


def equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)


def after(iterations: int, *overrides: str) -> dict[str, np.ndarray]:
    algorithm = build(*overrides)
    for _ in range(iterations):
        algorithm.train()
    found = weights(algorithm)
    algorithm.stop()
    return found


@cache
def once_after(iterations: int, *overrides: str) -> dict[str, np.ndarray]:
    """Return the weights of one run that tests share."""
    return after(iterations, *overrides)


def test_replay_holds_one_step_for_each_observation(trained: PublishedDreamerV3) -> None:
    assert trained.replay_steps == 96 + 4  # an episode of 20 steps has 21 observations


def test_timeout_is_a_last_step_and_not_terminal(trained: PublishedDreamerV3) -> None:
    flags = local_learner(trained).replay._rings["flags"][: trained.replay_steps].sum(0)
    first, last, terminal = flags.tolist()
    assert (first, last, terminal) == (5, 4, 0)


def test_acting_weights_are_those_of_the_moment_and_what_an_env_runner_has(trained: PublishedDreamerV3) -> None:
    learner, acting = local_learner(trained), trained.env_runner.module.state_dict()
    kept = learner.acting_weights()
    before = {name: value.clone() for name, value in kept.on_host().items()}
    learner.learn(1)
    assert kept.on_host().keys() == acting.keys()
    assert all(torch.equal(value, before[name]) for name, value in kept.on_host().items())
    assert not all(torch.equal(value, before[name]) for name, value in learner.acting_weights().on_host().items())


def test_every_figure_of_the_learner_is_in_the_metrics_row() -> None:
    algorithm = build("algo.training_ratio=2")
    figures = algorithm.train()["learners"][DEFAULT_MODULE_ID]
    assert set(SPEC.metrics.values()) == set(figures)
    assert all(np.isfinite(value) for value in figures.values())
    algorithm.stop()


def test_figures_of_an_iteration_are_means_over_its_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.algorithms.rllib.learner_replay.LEARNER_CALL_S", 0.0)  # one update in each call
    algorithm = build("algo.training_ratio=16")
    losses, learn = [], AgentLearner.learn

    def recorded(self: AgentLearner, updates: int) -> tuple[dict[str, float], float]:
        means, seconds = learn(self, updates)
        losses.append(means["total"])
        return means, seconds

    monkeypatch.setattr(AgentLearner, "learn", recorded)
    result = algorithm.train()
    assert len(losses) == 8
    assert result["learners"][DEFAULT_MODULE_ID]["total"] == pytest.approx(np.mean(losses), rel=1e-5)
    algorithm.stop()


def test_same_seed_gives_the_same_weights() -> None:
    assert equal(once_after(2), after(2))


def test_another_seed_gives_other_weights() -> None:
    assert not equal(after(1), after(1, "run.seed=9"))


@pytest.mark.slow
def test_weights_do_not_depend_on_the_updates_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_call = after(2, "algo.training_ratio=32")
    monkeypatch.setattr("dreamer_exp.algorithms.rllib.learner_replay.LEARNER_CALL_S", 0.0)
    assert equal(in_one_call, after(2, "algo.training_ratio=32"))


@pytest.mark.slow
def test_runs_with_two_env_runners_repeat_bit_for_bit() -> None:
    assert equal(once_after(3, *TWO_RUNNERS), after(3, *TWO_RUNNERS))


@pytest.mark.slow
def test_runs_with_overlapped_sampling_repeat_bit_for_bit() -> None:
    assert equal(once_after(3, *OVERLAPPED), after(3, *OVERLAPPED))


class SlowEnvRunner(AgentEnvRunner):
    """Env runner that is still busy with a state when the next one is sent."""

    def set_state(self, state: dict[str, Any]) -> None:
        time.sleep(0.3)
        super().set_state(state)


@pytest.mark.slow
def test_busy_env_runner_receives_the_next_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamer_exp.algorithms.dreamerv3.configure.AgentEnvRunner", SlowEnvRunner)
    algorithm = build(*OVERLAPPED)
    algorithm.train()
    learned = weights(algorithm)
    algorithm.train()  # sends these weights, then updates them
    assert not equal(learned, weights(algorithm))
    acting = algorithm.env_runner_group.foreach_env_runner(lambda r: r.module.get_state(), local_env_runner=False)
    assert len(acting) == 2
    assert all(equal(runner, {name: learned[name] for name in runner}) for runner in acting)
    algorithm.stop()


@pytest.mark.slow
def test_an_iteration_with_overlapped_sampling_does_not_wait_for_busy_env_runners() -> None:
    algorithm = build(*OVERLAPPED)
    algorithm.train()
    algorithm._wait_for_sampling()
    busy = [actor.apply.remote(lambda runner: time.sleep(5.0)) for actor in algorithm.env_runner_actors().values()]
    algorithm.train()
    assert ray.wait(busy, timeout=0)[0] == []
    algorithm.stop()


@pytest.mark.slow
def test_overlapped_sampling_acts_with_older_weights() -> None:
    assert not equal(once_after(3, *TWO_RUNNERS), once_after(3, *OVERLAPPED))


@pytest.mark.slow
def test_evaluated_network_has_the_latest_weights_with_overlapped_sampling() -> None:
    algorithm = build(*OVERLAPPED)
    algorithm.train()
    acting = {name: value.numpy() for name, value in algorithm.module_to_evaluate().state_dict().items()}
    learned = weights(algorithm)
    assert equal(acting, {name: learned[name] for name in acting})
    algorithm.stop()


def test_env_runners_only_have_the_parts_that_acting_needs() -> None:
    algorithm = build()
    parts = {name.split(".")[1] for name in algorithm.env_runner.module.state_dict()}
    assert parts == {"encoder", "rssm", "actor"}
    algorithm.stop()


def test_train_actor_false_does_not_change_the_actor() -> None:
    algorithm = build("algo.train_actor=false")
    before = weights(algorithm)
    algorithm.train()
    after = weights(algorithm)
    moved = {name.split(".")[1] for name in after if not np.array_equal(before[name], after[name])}
    assert "actor" not in moved
    assert "critic" in moved
    algorithm.stop()


@pytest.mark.slow
def test_remote_learner_gives_the_same_weights() -> None:
    assert equal(after(2, "hardware.num_cpus=2"), after(2, *REMOTE))


@pytest.mark.parametrize("where", [(), pytest.param(REMOTE, marks=pytest.mark.slow)], ids=["local", "remote"])
def test_algorithm_reports_the_backend_of_its_learner(where: tuple[str, ...]) -> None:
    algorithm = build("algo.backend=eager", *where)
    assert algorithm.backend == ("eager", "float32", "eager", "")
    algorithm.stop()


@pytest.mark.parametrize("runners", [(), pytest.param(TWO_RUNNERS, marks=pytest.mark.slow)])
def test_checkpoint_restores_weights_optimiser_and_noise(runners: tuple[str, ...], tmp_path: Path) -> None:
    trained = build(*runners)
    trained.train()
    trained.save_to_path(str(tmp_path))
    learned, left = weights(trained), local_learner(trained).get_state()
    trained.stop()
    fresh = build("run.seed=9", *runners)
    assert not equal(learned, weights(fresh))
    fresh.restore_from_path(str(tmp_path))
    assert equal(learned, weights(fresh))
    right = local_learner(fresh).get_state()
    assert str(left["optimizer"]) == str(right["optimizer"])
    assert left[EXTRA_STATE].keys() == right[EXTRA_STATE].keys()
    assert all(np.array_equal(left[EXTRA_STATE][name], right[EXTRA_STATE][name]) for name in left[EXTRA_STATE])
    fresh.train()
    fresh.stop()


def test_learner_loads_the_extra_state_of_release_0_1() -> None:
    algorithm = build()
    learner = local_learner(algorithm)
    state = learner.get_state()
    state[EXTRA_STATE_0_1] = {**state.pop(EXTRA_STATE), "return_high": 7.0}
    learner.set_state(state)
    assert learner.returns.high == 7.0
    algorithm.stop()
