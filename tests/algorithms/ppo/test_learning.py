"""PPO learns, on both kinds of actions."""

from typing import Any

import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.metrics_row import window_figures
from tests.experiments import experiment

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

WORDS = (
    "algo=ppo",
    "hardware=cpu",
    "hardware.num_cpus=1",
    "hardware.num_env_runners=0",
    "hardware.num_envs_per_env_runner=8",
    "hardware.rollout_fragment_length=128",
    "algo.train_batch_size_per_learner=1024",
    "algo.fcnet_hiddens=[64,64]",
    "run.seed=1",
)


def returns(iterations: int, *words: str) -> list[Any]:
    """Train, and return the mean return of the last 100 episodes after each iteration."""
    algorithm, counters, found = build_algorithm(experiment(*WORDS, *words)), Counters(), []
    for _ in range(iterations):
        algorithm.train()
        counters.add(algorithm.last_iteration)
        found.append(window_figures(counters.window)["episode_return_window"])
    algorithm.stop()
    return found


def test_cartpole_is_learned() -> None:
    words = ("env=gym", "env.id=CartPole-v1", "env.max_steps=500", "obs_contract=vector", "algo.lr=1e-3")
    assert returns(50, *words)[-1] > 200  # untrained: about 20


def test_pendulum_is_learned() -> None:
    words = ("env=gym", "env.id=Pendulum-v1", "env.max_steps=200", "obs_contract=vector", "algo.gamma=0.9")
    rates = ("algo.lr=1e-3", "algo.minibatch_size=64", "algo.num_epochs=10")
    assert returns(40, *words, *rates)[-1] > -600  # untrained: about -1,200


def test_crowd_nav_without_pedestrians_is_learned() -> None:
    words = ("env.scenario=open", "env.max_steps=200", "obs_contract=drive_state_rays_latest", "algo.gamma=0.97")
    assert returns(45, *words)[-1] > -12  # untrained: about -20
