"""env.action_repeat: each action applied several times, in every environment."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dreamer_exp.envs.contract import ContractEnv
from dreamer_exp.envs.make import contract_of, make_env, make_raw_env
from tests.experiments import experiment, nano_gym


def crowd_nav(repeat: int, max_steps: int = 40) -> ContractEnv:
    """Return crowd_nav behind its contract."""
    asked = experiment(f"env.action_repeat={repeat}", f"env.max_steps={max_steps}")
    return make_env(asked.env, asked.obs_contract)


def actions(count: int, seed: int = 0) -> list[Any]:
    """Return uniform actions."""
    return list(np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32))


@pytest.mark.parametrize("max_steps", [40, 41])  # the limit after a complete repetition, and inside one
def test_repeating_equals_giving_each_action_twice_until_the_end(max_steps: int) -> None:
    repeated, single = crowd_nav(2, max_steps), crowd_nav(1, max_steps)
    np.testing.assert_array_equal(repeated.reset(seed=3)[0], single.reset(seed=3)[0])
    steps, done = 0, False
    for action in actions(100):
        found = repeated.step(action)
        total = 0.0
        for _ in range(2):
            expected = single.step(action)
            steps, total, done = steps + 1, total + float(expected[1]), expected[2] or expected[3]
            if done:
                break
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:] == (total, *expected[2:])
        if done:
            break

    assert done
    assert expected[4]["time_s"] == pytest.approx(0.1 * steps), "time and limit are the simulation's"


def test_an_episode_truncated_inside_a_repetition_stops_there() -> None:
    env = crowd_nav(2, max_steps=3)
    env.reset(seed=900_001)
    ends = [env.step(np.zeros(2, np.float32)) for _ in range(2)]

    assert [end[3] for end in ends] == [False, True]
    assert (ends[1][4]["outcome"], ends[1][4]["time_s"]) == ("timeout", pytest.approx(0.3))


def test_an_episode_terminated_inside_a_repetition_stops_there() -> None:
    """CartPole pays 1 a step and ends after 10 steps to one side: 3 actions of 3 steps, and 1 of 1."""
    asked = nano_gym("CartPole-v1", "env.action_repeat=1")
    rewards = [run_to_the_right(replace(asked.env, action_repeat=repeat), asked.obs_contract) for repeat in (1, 3)]

    assert sum(rewards[1]) == sum(rewards[0]) == len(rewards[0])
    assert rewards[1][:-1] == [3.0] * (len(rewards[1]) - 1)
    assert rewards[1][-1] == (len(rewards[0]) - 1) % 3 + 1


def run_to_the_right(env: Any, contract: Any) -> list[float]:
    """Return the rewards of an episode of CartPole that always pushes to the right."""
    made = make_env(env, contract)
    made.reset(seed=0)
    rewards, done = [], False
    while not done:
        _, reward, terminated, truncated, _ = made.step(1)
        rewards.append(float(reward))
        done = terminated or truncated
    return rewards


def test_contract_and_raw_environment_do_not_change() -> None:
    once, twice = (experiment(f"env.action_repeat={repeat}") for repeat in (1, 2))

    assert contract_of(once.env, once.obs_contract) == contract_of(twice.env, twice.obs_contract)
    assert once.fingerprint() != twice.fingerprint()
    assert type(make_raw_env(twice.env)) is type(make_raw_env(once.env))


def test_one_frame_for_each_action() -> None:
    assert crowd_nav(2).metadata["render_fps"] == crowd_nav(1).metadata["render_fps"] / 2
