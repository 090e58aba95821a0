"""Divergence under both learners: the update is named, its batch kept, and what can be left alone is."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID

from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.experiments import nano

pytestmark = pytest.mark.usefixtures("ray_local")

REMOTE = ("hardware.num_learners=1", "hardware.num_cpus=2")


@pytest.fixture(scope="module", params=["dreamerv3_rllib", "dreamerv3"])
def algo(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[(), pytest.param(REMOTE, marks=pytest.mark.slow)], ids=["local", "remote"])
def diverged(
    algo: str, request: pytest.FixtureRequest, ray_local: None
) -> Iterator[tuple[BaseDreamerV3, NonFiniteUpdate]]:
    """Yield an algorithm whose observations were infinite in its second iteration, and the error it raised."""
    algorithm = build_algorithm(nano(f"algo={algo}", *request.param))
    algorithm.train()
    poison(algorithm)
    with pytest.raises(NonFiniteUpdate) as raised:
        algorithm.train()
    yield algorithm, getattr(raised.value, "cause", raised.value)
    algorithm.stop()


def poison(algorithm: BaseDreamerV3) -> None:
    """Make the first element of all observations in the replay infinite."""
    for episode in algorithm.replay_buffer.episodes:
        episode.observations.data[:-1, 0] = float("inf")  # the last one is compared with the next chunk's first
    on_learner(algorithm, put_infinity)


def put_infinity(learner: Any) -> None:
    if isinstance(learner, AgentLearner):
        learner.replay._rings["observation"][:, 0] = float("inf")


def on_learner(algorithm: BaseDreamerV3, call: Any) -> Any:
    return next(iter(algorithm.learner_group.foreach_learner(call))).get()


def test_the_update_is_named_by_its_number_and_keeps_its_batch(diverged: Any, algo: str) -> None:
    _, found = diverged
    observations = found.batch["observation" if algo == "dreamerv3" else "obs"]
    assert found.number == 3  # the first iteration made two
    assert np.isinf(observations[..., 0]).any()
    assert np.isfinite(observations[..., 1:]).all()


def test_the_learner_is_still_there_with_the_weights_from_before(diverged: Any) -> None:
    algorithm, found = diverged
    state = on_learner(algorithm, lambda learner: learner.module[DEFAULT_MODULE_ID].get_state())
    parameters = dict(algorithm.env_runner.module.named_parameters())
    assert found.untouched
    assert all(np.isfinite(state[name]).all() for name in parameters)


def test_the_fast_learner_names_the_figures_that_are_not_finite(diverged: Any, algo: str) -> None:
    _, found = diverged
    if algo == "dreamerv3_rllib":
        assert "it ended before it had losses" in str(found)  # torch refuses a distribution of it
    else:
        assert {"total", "decoder", "world_model", "grad_norm_world_model"} <= set(found.broken)
        assert "decoder is inf" in str(found)


def test_it_is_pickled_whole() -> None:
    found = NonFiniteUpdate(7, {"total": float("nan")}, {"reward": np.zeros(2)}, {"return_low": 1.0}, untouched=True)
    again = pickle.loads(pickle.dumps(found))
    assert (again.number, str(again), again.untouched) == (7, "update 7 is not finite: total is nan", True)
    assert again.batch["reward"].tolist() == [0.0, 0.0]


def test_a_broken_update_on_the_cpu_changes_nothing_of_the_fast_learner() -> None:
    algorithm = build_algorithm(nano("algo=dreamerv3"))
    algorithm.train()
    poison(algorithm)
    fast = algorithm.learner_group._learner
    before = pickle.dumps(fast.get_state())
    assert isinstance(fast.learn(1), NonFiniteUpdate)
    assert pickle.dumps(fast.get_state()) == before
    algorithm.stop()


def test_figures_of_rllib_that_are_not_finite_are_reported() -> None:
    """Where its update comes to an end: here after one that has blown the decoder up."""
    algorithm = build_algorithm(nano("algo=dreamerv3_rllib"))
    algorithm.train()
    on_learner(algorithm, blow_up_decoder)
    with pytest.raises(NonFiniteUpdate) as raised:
        algorithm.train()
    assert "WORLD_MODEL_L_decoder" in raised.value.broken
    assert not raised.value.untouched
    algorithm.stop()


def blow_up_decoder(learner: Any) -> None:
    with torch.no_grad():
        for name, parameter in learner.module[DEFAULT_MODULE_ID].named_parameters():
            if "decoder" in name:
                parameter.mul_(1e19)
