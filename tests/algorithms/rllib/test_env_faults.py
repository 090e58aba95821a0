"""Environments that break their contract or exist only once, under both algorithms' env runners."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.envs.boundary import EnvironmentFailed
from dreamer_exp.envs.contract import Fault
from tests.experiments import nano_gym

pytestmark = pytest.mark.usefixtures("ray_local")

ONE_UPDATE = "algo.training_ratio=2"  # in an iteration
NO_UPDATE = "algo.training_ratio=0.01"

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
    algorithm = build_algorithm(nano_gym(ID, f"algo={algo}", ONE_UPDATE))
    episodes = []
    for _ in range(2):
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
    algorithm = build_algorithm(nano_gym(ID, f"algo={algo}", "env.max_faults=1", NO_UPDATE))
    with pytest.raises(Fault, match=r"^reward is nan; .*2 times"):
        train(algorithm, 6)
    algorithm.stop()


class Alone(NanRewards):
    """Exists once at a time, as a simulator behind a port."""

    open = 0
    is_open = False

    def __init__(self) -> None:
        if Alone.open:
            raise RuntimeError("the port is in use")
        Alone.open += 1
        self.is_open = True

    def close(self) -> None:
        Alone.open -= self.is_open
        self.is_open = False


gymnasium.register("Alone-v0", Alone)


@both_algorithms
def test_training_continues_after_its_environments_were_closed(algo: str) -> None:
    algorithm = build_algorithm(nano_gym("Alone-v0", f"algo={algo}", ONE_UPDATE))
    algorithm.train()
    algorithm.reset_episodes(1)
    algorithm.close_envs()
    assert Alone.open == 0
    algorithm.make_envs()
    assert Alone.open == 1
    algorithm.train()
    algorithm.stop()
    assert Alone.open == 0


@both_algorithms
def test_a_second_environment_that_cannot_be_made_is_reported_with_the_keys_that_avoid_it(algo: str) -> None:
    with pytest.raises(EnvironmentFailed, match=r"the port is in use\. If it .*hardware\.num_envs_per_env_runner=1\.$"):
        build_algorithm(nano_gym("Alone-v0", f"algo={algo}", "hardware.num_envs_per_env_runner=2"))
    Alone.open = 0


class Reporting(NanRewards):
    """Reports what only looks like the documented keys, and success as other libraries do."""

    def step(self, action: Any) -> Any:
        info = {"time_s": [self.steps, "s"], "scenario": np.zeros((2, self.steps + 1)), "is_success": 1.0}
        return *super().step(action)[:4], info


gymnasium.register("Reporting-v0", Reporting)


@both_algorithms
@pytest.mark.parametrize("envs", [1, 2])
def test_the_driver_gets_results_and_notices_of_infos_of_any_form(algo: str, envs: int) -> None:
    words = f"algo={algo}", NO_UPDATE, f"hardware.num_envs_per_env_runner={envs}"
    algorithm = build_algorithm(nano_gym("Reporting-v0", *words))
    algorithm.train()
    first = algorithm.last_iteration.episodes[0]
    assert first.outcome == "success"
    assert [notice.subject for notice in first.notices] == ["info[scenario]", "info[time_s]"]
    algorithm.stop()


def train(algorithm: Any, iterations: int) -> None:
    for _ in range(iterations):
        algorithm.train()
