"""Start points cut from real episodes."""

import numpy as np
import pytest

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env
from dreamer_exp.evaluation.rollout import begin_episode
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, EPISODES, GroundTruth, drive
from tests.experiments import nano, nano_gym
from tests.training.networks import network

AHEAD = 15


@pytest.fixture(params=["crowd_nav", "cartpole"])
def asked(request: pytest.FixtureRequest) -> Experiment:
    words = ("algo.learner=fast", "env.max_steps=40")
    return nano(*words) if request.param == "crowd_nav" else nano_gym("CartPole-v1", *words)


def cut(asked: Experiment) -> GroundTruth:
    futures = drive(network(asked), asked, AHEAD)
    assert futures is not None
    return futures


def test_what_is_cut_is_what_the_simulator_does_with_these_actions(asked: Experiment) -> None:
    futures = cut(asked)
    env = make_env(asked.env, asked.obs_contract)
    told = 0
    for i in range(len(futures.seen)):
        (begin,) = np.flatnonzero(futures.is_first[i])
        now = futures.seen.shape[1] - 1
        observation, _ = begin_episode(asked, env, asked.evaluation.seed + i)
        for t, action in enumerate(futures.actions[i, begin:], begin):
            if t <= now:
                assert np.array_equal(observation, futures.seen[i, t])
            observation, reward, terminated, truncated, _ = env.step(action)
            if t >= now:
                said = (futures.truth.observation[i], futures.truth.reward[i], futures.truth.proceeds[i])
                assert np.array_equal(observation, said[0][t + 1 - now])
                assert (np.float32(reward), 1.0 - terminated) == (said[1][t + 1 - now], said[2][t + 1 - now])
                told += 1
            if terminated or truncated:
                assert np.isnan(futures.truth.reward[i, t + 2 - now :]).all()
                break
    assert told > EPISODES


def test_every_start_point_has_its_context_and_a_step_to_come(asked: Experiment) -> None:
    futures = cut(asked)
    assert ((futures.seen.shape[1] - futures.is_first.argmax(1)) >= CONTEXT).all()
    assert np.isfinite(futures.truth.reward[:, :2]).all()
    assert np.array_equal(futures.seen[:, -1], futures.truth.observation[:, 0])
