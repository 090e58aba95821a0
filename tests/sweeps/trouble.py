"""An environment that fails as the variable TROUBLE requests: {"1": "signal"} for job 1 of a sweep."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
STEPS = 30  # training steps before the failure


class Trouble(gymnasium.Env[Vector, Vector]):
    """Episodes of twenty steps; the reward is the closeness of the action to the observation."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self) -> None:
        job = Path(sys.argv[1]).name.partition("_")[0] if len(sys.argv) > 1 else ""
        self.kind = json.loads(os.environ.get("TROUBLE", "{}")).get(job)
        self.steps = self.in_episode = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Vector, dict[str, Any]]:
        super().reset(seed=seed)
        self.in_episode = 0
        return self.observe(), {}

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        self.steps, self.in_episode = self.steps + 1, self.in_episode + 1
        if self.kind and self.steps > STEPS:
            self.make_trouble()
        reward = 1.0 - float(np.abs(action - self.seen).mean())
        return self.observe(), reward, False, self.in_episode == 20, {}

    def observe(self) -> Vector:
        self.seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen

    def make_trouble(self) -> None:
        match self.kind:
            case "signal":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exception":
                raise ZeroDivisionError("the wheels came off")
            case "memory":
                held = np.ones(10**9, np.uint8)
                time.sleep(60)
                del held
            case "hang":
                time.sleep(600)


gymnasium.register("Trouble-v0", Trouble)
