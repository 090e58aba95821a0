"""A small environment with stacked observations, for the contract tests."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from dreamer_exp.envs.contract import ContractEnv


def float32(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


ACCELERATIONS = Box(float32(-1.0, -2.0), float32(3.0, 2.0), dtype=np.float32)


class StackedEnv(gymnasium.Env[dict[str, Any], Any]):
    """A point on a line that accelerates; `state` (3, 2) stacks position and velocity, `goal` (1,) is constant."""

    observation_space: Space[Any] = Dict(
        {"state": Box(-10.0, 10.0, (3, 2), np.float32), "goal": Box(0.0, 1.0, (1,), np.float64)}
    )

    def __init__(self, action_space: Space[Any] = ACCELERATIONS) -> None:
        self.action_space = action_space
        self.received: Any = None
        self.replacements: dict[str, Any] = {}  # what a faulty env returns instead, by key; None: the key is missing
        self.reward: Any = 0.5

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.rows = np.tile(self.np_random.uniform(-1, 1, 2).astype(np.float32), (3, 1))
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.received = action
        velocity = np.clip(self.rows[-1, 1] + 0.1 * np.mean(action), -10, 10)
        newest = [np.clip(self.rows[-1, 0] + 0.1 * velocity, -10, 10), velocity]
        self.rows = np.vstack([self.rows[1:], newest]).astype(np.float32)
        return self._observation(), self.reward, False, False, {}

    def _observation(self) -> dict[str, Any]:
        healthy = {"state": self.rows.copy(), "goal": np.array([0.25])}
        return {key: value for key, value in (healthy | self.replacements).items() if value is not None}


def wrapped(inner: StackedEnv | None = None, frames: str = "all") -> ContractEnv:
    return ContractEnv(inner or StackedEnv(), keys=["state", "goal"], frames=frames)
