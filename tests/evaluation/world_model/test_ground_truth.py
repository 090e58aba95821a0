"""Start points in real episodes, and their ground truth."""

import numpy as np
import pytest

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env
from dreamer_exp.evaluation.episodes import fixed_seeds
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, EPISODES, STARTS, GroundTruth, collect
from tests.experiments import nano, nano_gym
from tests.training.networks import network

AHEAD = 15


@pytest.fixture(params=["crowd_nav", "cartpole"])
def experiment(request: pytest.FixtureRequest) -> Experiment:
    words = ("algo=dreamerv3", "env.max_steps=40")
    return nano(*words) if request.param == "crowd_nav" else nano_gym("CartPole-v1", *words)


def cut(experiment: Experiment) -> GroundTruth:
    found = collect(network(experiment), experiment, AHEAD)
    assert found is not None
    return found


def test_the_ground_truth_is_what_the_simulator_does_with_the_actions(experiment: Experiment) -> None:
    points = cut(experiment)
    env = make_env(experiment.env, experiment.obs_contract)
    episodes = {episode.begin(env)[0].tobytes(): episode for episode in fixed_seeds(experiment, EPISODES).episodes}
    compared = 0
    for i in range(len(points.seen)):
        (begin,) = np.flatnonzero(points.is_first[i])
        now = points.seen.shape[1] - 1
        observation, _ = episodes[points.seen[i, begin].tobytes()].begin(env)
        for t, action in enumerate(points.actions[i, begin:], begin):
            if t <= now:
                assert np.array_equal(observation, points.seen[i, t])
            observation, reward, terminated, truncated, _ = env.step(action)
            if t >= now:
                truth = (points.truth.observation[i], points.truth.reward[i], points.truth.proceeds[i])
                assert np.array_equal(observation, truth[0][t + 1 - now])
                assert (np.float32(reward), 1.0 - terminated) == (truth[1][t + 1 - now], truth[2][t + 1 - now])
                compared += 1
            if terminated or truncated:
                assert np.isnan(points.truth.reward[i, t + 2 - now :]).all()
                break
    assert compared > EPISODES


def test_the_start_points_of_an_episode_differ(experiment: Experiment) -> None:
    points = cut(experiment)
    firsts = points.is_first.argmax(1).tolist()
    starts = {(seen[first].tobytes(), first) for seen, first in zip(points.seen, firsts, strict=True)}
    assert len(starts) == len(points.seen)
    assert EPISODES < len(starts) <= EPISODES * STARTS


def test_every_start_point_has_its_context_and_a_next_step(experiment: Experiment) -> None:
    points = cut(experiment)
    assert ((points.seen.shape[1] - points.is_first.argmax(1)) >= CONTEXT).all()
    assert np.isfinite(points.truth.reward[:, :2]).all()
    assert np.array_equal(points.seen[:, -1], points.truth.observation[:, 0])
