"""Divergence with both algorithms: number, batch and metrics of the update, and the state of the learner afterwards."""

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
    put_infinity_into_the_replay(algorithm)
    with pytest.raises(NonFiniteUpdate) as raised:
        algorithm.train()
    yield algorithm, getattr(raised.value, "cause", raised.value)
    algorithm.stop()


def put_infinity_into_the_replay(algorithm: BaseDreamerV3) -> None:
    """Make the first element of all observations in the replay infinite."""
    for episode in algorithm.replay_buffer.episodes:
        episode.observations.data[:-1, 0] = float("inf")  # the last one is compared with the next chunk's first
    on_learner(algorithm, put_infinity)


def put_infinity(learner: Any) -> None:
    if isinstance(learner, AgentLearner):
        written = len(learner.replay)  # the rest of the ring takes no memory until it is written
        learner.replay._rings["observation"][:written, 0] = float("inf")


def on_learner(algorithm: BaseDreamerV3, call: Any) -> Any:
    return next(iter(algorithm.learner_group.foreach_learner(call))).get()


def test_error_has_number_and_batch_of_the_update(diverged: Any, algo: str) -> None:
    _, found = diverged
    observations = found.batch["observation" if algo == "dreamerv3" else "obs"]
    assert found.number == 3  # the first iteration made two
    assert np.isinf(observations[..., 0]).any()
    assert np.isfinite(observations[..., 1:]).all()


def test_learner_keeps_running_with_the_weights_before_the_update(diverged: Any) -> None:
    algorithm, found = diverged
    state = on_learner(algorithm, lambda learner: learner.module[DEFAULT_MODULE_ID].get_state())
    parameters = dict(algorithm.env_runner.module.named_parameters())
    assert found.untouched
    assert all(np.isfinite(state[name]).all() for name in parameters)


def test_error_names_the_metrics_that_are_not_finite(diverged: Any, algo: str) -> None:
    _, found = diverged
    if algo == "dreamerv3_rllib":
        assert "it ended before it had losses" in str(found)  # torch refuses to make a distribution with a NaN
    else:
        assert {"total", "decoder", "world_model", "grad_norm_world_model"} <= set(found.broken)
        assert "decoder is inf" in str(found)


def test_error_can_be_pickled() -> None:
    found = NonFiniteUpdate(7, {"total": float("nan")}, {"reward": np.zeros(2)}, {"return_low": 1.0}, untouched=True)
    again = pickle.loads(pickle.dumps(found))
    assert (again.number, str(again), again.untouched) == (7, "update 7 is not finite: total is nan", True)
    assert again.batch["reward"].tolist() == [0.0, 0.0]


def test_nonfinite_update_of_dreamerv3_on_the_cpu_changes_no_state() -> None:
    algorithm = build_algorithm(nano("algo=dreamerv3"))
    algorithm.train()
    put_infinity_into_the_replay(algorithm)
    learner = algorithm.learner_group._learner
    before = pickle.dumps(learner.get_state())
    assert isinstance(learner.learn(1), NonFiniteUpdate)
    assert pickle.dumps(learner.get_state()) == before
    algorithm.stop()


def test_nonfinite_metrics_of_a_completed_update_of_rllib_are_reported() -> None:
    """Very large weights of the decoder make the loss infinite, but do not stop the update."""
    algorithm = build_algorithm(nano("algo=dreamerv3_rllib"))
    algorithm.train()
    on_learner(algorithm, enlarge_decoder_weights)
    with pytest.raises(NonFiniteUpdate) as raised:
        algorithm.train()
    assert "WORLD_MODEL_L_decoder" in raised.value.broken
    assert not raised.value.untouched
    algorithm.stop()


def enlarge_decoder_weights(learner: Any) -> None:
    with torch.no_grad():
        for name, parameter in learner.module[DEFAULT_MODULE_ID].named_parameters():
            if "decoder" in name:
                parameter.mul_(1e19)
