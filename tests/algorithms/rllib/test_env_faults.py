"""Faults of an environment in the env runners of both algorithms."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.envs.contract import Fault
from tests.experiments import nano_gym

pytestmark = pytest.mark.usefixtures("ray_local")

both_algorithms = pytest.mark.parametrize("algo", ["dreamerv3_rllib", "dreamerv3"])


class NanRewards(gymnasium.Env[Any, Any]):
    """An environment with episodes of ten steps; in every second episode, the fourth reward is NaN."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    episodes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps, self.episodes = 0, self.episodes + 1
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = float("nan") if self.steps == 4 and self.episodes % 2 == 0 else 1.0
        return np.full(3, self.steps / 10, np.float32), reward, False, self.steps == 10, {}


ID = "NanRewards-v0"
gymnasium.register(ID, NanRewards)


@both_algorithms
def test_training_continues_and_each_fault_is_reported(algo: str) -> None:
    algorithm = build_algorithm(nano_gym(ID, f"algo={algo}"))
    episodes = []
    for _ in range(4):
        result = algorithm.train()
        episodes += algorithm.last_iteration.episodes
    assert [(each.outcome, each.length, each.faults) for each in episodes[:4]] == [(None, 10, 0), ("fault", 4, 1)] * 2
    assert episodes[1].fault == "reward is nan; the env must return a finite number"
    losses = [value for name, value in result["learners"]["default_policy"].items() if "total" in name]
    assert losses
    assert np.isfinite(losses).all()
    algorithm.stop()


@both_algorithms
def test_fault_beyond_the_limit_is_raised_unchanged(algo: str) -> None:
    algorithm = build_algorithm(nano_gym(ID, f"algo={algo}", "env.max_faults=1"))
    with pytest.raises(Fault, match=r"^reward is nan; .*2 times"):
        train(algorithm, 6)
    algorithm.stop()


def train(algorithm: Any, iterations: int) -> None:
    for _ in range(iterations):
        algorithm.train()
