"""Faulty environments, registered with Gymnasium."""

import random
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Blind(gymnasium.Env[Vector, Vector]):
    """Accepts a render_mode, but cannot render."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Vector, dict[str, Any]]:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        return np.zeros(1, np.float32), 0.0, False, False, {}


class Mute(Blind):
    """Renders None."""

    def render(self) -> None:
        return None


class Careless(Blind):
    """Draws from the global generators, as some simulators do."""

    def step(self, action: Any) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        drawn = random.random() + np.random.rand() + float(torch.rand(()))  # noqa: NPY002
        return np.zeros(1, np.float32), drawn, False, False, {}


class Broken(Blind):
    """Returns NaN as its third reward."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Vector, dict[str, Any]]:
        self.steps = 0
        return super().reset()

    def step(self, action: Any) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.zeros(1, np.float32), float("nan") if self.steps == 3 else 1.0, False, False, {}


for kind in (Blind, Mute, Careless, Broken):
    gymnasium.register(f"{kind.__name__}-v0", kind)
