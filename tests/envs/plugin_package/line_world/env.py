"""The environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from dreamer_exp.envs.episode import SUCCESS, TIMEOUT, EpisodeInfo
from dreamer_exp.envs.scene import Scene
from dreamer_exp.envs.seeds import draw_seed
from line_world.config import LineWorldConfig

DT = 0.1
MAX_SPEED = 2.0
Observation = NDArray[np.float32]


class LineWorldEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Accelerate along a line until the goal is reached.

    Observation (2,): the distance to the goal in units of 12 m, and the speed in units of 2 m/s. Action (1,): the
    acceleration in m/s^2, in [-1, 1].
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": round(1 / DT)}  # noqa: RUF012
    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, config: LineWorldConfig, render_mode: str | None = None) -> None:
        self.config, self.render_mode = config, render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start the episode of this seed; without a seed, the next one of the generator."""
        super().reset(seed=seed)
        self._seed = draw_seed(self.np_random, 2**31) if seed is None else seed
        self._start = float(np.random.default_rng(self._seed).uniform(-0.5, 0.5))
        self._x, self._speed, self._path, self._steps = self._start, 0.0, 0.0, 0
        return self._observe(), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Accelerate for 0.1 s."""
        config, before = self.config, self._x
        speed = self._speed * (1.0 - config.friction) + DT * float(action[0])
        self._speed = float(np.clip(speed, -MAX_SPEED, MAX_SPEED))
        self._x = max(self._x + DT * self._speed, -1.0)
        self._path += abs(self._x - before)
        self._steps += 1
        success = self._x >= config.goal_m
        timeout = not success and self._steps >= config.max_steps
        reward = config.reward.progress * (self._x - before) + config.reward.success * success
        info = self._info(success) if success or timeout else {}
        return self._observe(), reward, success, timeout, info

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return the line with goal and robot (32, 256, 3) as uint8."""
        if self.render_mode is None:
            return None
        picture = np.full((32, 256, 3), 255, np.uint8)
        for x, colour in ((self.config.goal_m, (0, 158, 115)), (self._x, (0, 0, 0))):
            column = int((x + 1.0) / (self.config.goal_m + 2.0) * 251)
            picture[:, column : column + 4] = colour
        return picture

    def episode_scene(self) -> Scene:
        """Return two walls next to the line, and the goal."""
        walls = [[-1.0, side, self.config.goal_m + 1.0, side] for side in (-0.5, 0.5)]
        return Scene(np.array(walls), np.array([[self.config.goal_m, 0.0]]))

    def robot_position(self) -> tuple[float, float]:
        """Return x and y in metres."""
        return self._x, 0.0

    def _observe(self) -> Observation:
        left = np.clip((self.config.goal_m - self._x) / 12.0, -1.0, 1.0)
        return np.array([left, self._speed / MAX_SPEED], np.float32)

    def _info(self, success: bool) -> dict[str, Any]:
        info: EpisodeInfo = {
            "outcome": SUCCESS if success else TIMEOUT,
            "seed": self._seed,
            "path_length": self._path,
            "route_length": self.config.goal_m - self._start,
            "time_s": self._steps * DT,
        }
        return dict(info)
