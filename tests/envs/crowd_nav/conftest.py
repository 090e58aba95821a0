"""Helpers for the crowd_nav tests: complete episodes as plain data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv


@pytest.fixture
def run_episode() -> Callable[..., list[tuple[Any, ...]]]:
    """`run_episode(env, seed, actions)`: reset, step until the end or the last action, and return all transitions."""

    def run(env: CrowdNavEnv, seed: int | None, actions: NDArray[np.float32]) -> list[tuple[Any, ...]]:
        observation, info = env.reset(seed=seed)
        transitions: list[tuple[Any, ...]] = [(observation, 0.0, False, False, info)]
        for action in actions:
            transitions.append(env.step(action))
            if transitions[-1][2] or transitions[-1][3]:
                break
        return transitions

    return run


@pytest.fixture
def actions() -> NDArray[np.float32]:
    """Random actions (400, 2), forward on average."""
    return np.random.default_rng(5).uniform([-0.6, -1.0], [1.0, 1.0], (400, 2)).astype(np.float32)
