"""The fault guard: a fault ends its episode and is reported; one fault too many stops the run."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv, ContractError, Fault
from dreamer_exp.envs.episode import result_of, without_faults
from dreamer_exp.envs.fault_guard import FaultGuard
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.make import make_env, make_guarded_env

ACTION = np.zeros(1, np.float32)
NAN, INF = float("nan"), float("inf")


class Counting(gymnasium.Env[Any, Any]):
    """Observes the number of steps divided by 100, and what the test sets at step `bad_step`."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, bad_step: int, observation: Any = None, reward: float = 1.0) -> None:
        self.bad_step, self.observation, self.reward = bad_step, observation, reward
        self.resets: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.resets.append(seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward = self.reward if self.steps == self.bad_step else 1.0
        return self._seen(), reward, False, self.steps == 5, {"outcome": "timeout"}

    def _seen(self) -> Any:
        if self.steps == self.bad_step and self.observation is not None:
            return np.array(self.observation, np.float32)
        return np.array([self.steps / 100, 0.0], np.float32)


class BadResets(Counting):
    """Observes NaN at the first `bad` resets."""

    def __init__(self, bad: int) -> None:
        super().__init__(-1)
        self.bad = bad

    def _seen(self) -> Any:
        return np.array([NAN, 0.0], np.float32) if len(self.resets) <= self.bad else super()._seen()


def guarded(inner: Counting, max_faults: int = 10) -> FaultGuard:
    return FaultGuard(ContractEnv(inner), max_faults)


def episode(env: FaultGuard) -> list[Any]:
    """Return what each step of an episode returned."""
    env.reset()
    steps = [env.step(ACTION)]
    while not (steps[-1][2] or steps[-1][3]):
        steps.append(env.step(ACTION))
    return steps


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"observation": [0.0, NAN]}, "observation[1] is nan; it must be finite and in [-1.0, 1.0]"),
        ({"observation": [INF, 0.0]}, "observation[0] is inf; it must be finite and in [-1.0, 1.0]"),
        ({"observation": [0.0, 1.5]}, "observation[1] is 1.5; it must be finite and in [-1.0, 1.0]"),
        ({"reward": NAN}, "reward is nan; the env must return a finite number"),
        ({"reward": -INF}, "reward is -inf; the env must return a finite number"),
    ],
)
def test_bad_number_truncates_the_episode_at_the_last_good_observation(broken: dict[str, Any], message: str) -> None:
    steps = episode(guarded(Counting(3, **broken)))
    assert len(steps) == 3
    observation, reward, terminated, truncated, info = steps[-1]
    assert observation.tolist() == steps[-2][0].tolist() == pytest.approx([0.02, 0.0])
    assert not np.shares_memory(observation, steps[-2][0])  # RLlib keeps what it is given
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info == {"outcome": "fault", "faults": 1, "fault": message}


def test_episode_without_a_fault_passes_unchanged() -> None:
    steps = episode(guarded(Counting(-1)))
    assert len(steps) == 5
    assert steps[-1][-1] == {"outcome": "timeout"}


def test_rounding_error_at_a_bound_is_not_a_fault() -> None:
    assert len(episode(guarded(Counting(3, observation=[1.0001, -1.0001])))) == 5


def test_one_fault_too_many_is_raised_and_names_the_key_of_the_limit() -> None:
    env = guarded(Counting(3, reward=NAN), max_faults=2)
    for _ in range(2):
        episode(env)
    with pytest.raises(Fault, match=r"^reward is nan; .*\(3 times in one environment; .*env\.max_faults\)$"):
        episode(env)


def test_limit_of_zero_raises_the_first_fault() -> None:
    with pytest.raises(Fault):
        episode(guarded(Counting(1, reward=NAN), max_faults=0))


def test_faulty_reset_is_repeated_without_the_seed_and_reported_with_the_next_episode() -> None:
    inner = BadResets(bad=2)
    env = guarded(inner)
    observation, _ = env.reset(seed=7)
    assert np.isfinite(observation).all()
    assert inner.resets == [7, None, None]
    infos = [env.step(ACTION)[-1] for _ in range(5)]
    assert [info.get("faults") for info in infos] == [None] * 4 + [2]
    assert (infos[-1]["outcome"], infos[-1]["fault"][:21]) == ("timeout", "observation[0] is nan")
    assert "faults" not in episode(env)[-1][-1]  # reported once


def test_environment_whose_resets_all_fail_stops_the_run() -> None:
    with pytest.raises(Fault, match=r"observation\[0\] is nan.*11 times"):
        guarded(BadResets(bad=100)).reset()


def test_error_that_no_other_episode_avoids_is_raised_at_once() -> None:
    with pytest.raises(ContractError, match="shape"):
        episode(guarded(Counting(3, observation=[0.0, 0.0, 0.0])))


def test_episodes_ended_by_a_fault_are_left_out_of_the_rates() -> None:
    faulty, healthy = guarded(Counting(3, reward=NAN)), guarded(Counting(-1))
    results = [result_of(episode(env)[-1][-1], 2.0, 3) for env in (faulty, healthy)]
    assert [result.faults for result in results] == [1, 0]
    assert results[0].fault == "reward is nan; the env must return a finite number"
    assert without_faults(results) == results[1:]


@pytest.mark.filterwarnings("ignore:.*(different from the unwrapped|For Box action|A Box observation space)")
def test_guarded_environment_passes_gymnasiums_checker() -> None:
    check_env(make_guarded_env(GymConfig(), ObsContractConfig("vector")), skip_render_check=True)


def test_only_make_guarded_env_adds_the_guard() -> None:
    configs = GymConfig(), ObsContractConfig("vector")
    assert isinstance(make_guarded_env(*configs), FaultGuard)
    assert isinstance(make_env(*configs), ContractEnv)
