"""What dreamer_exp asks of the environment."""

from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.envs.spec import BaselineSpec, EnvSpec, RawEnv
from line_world.config import LineWorldConfig


def make(config: LineWorldConfig, render_mode: str | None) -> RawEnv:
    """Return the environment; the simulator, if there is one, is imported here."""
    from line_world.env import LineWorldEnv

    return LineWorldEnv(config, render_mode)


class FullSpeed:
    """A baseline: accelerate."""

    def __init__(self, env: RawEnv, seed: int) -> None:
        """Keep nothing."""

    def reset(self) -> None:
        """Do nothing: there is no state."""

    def act(self, observation: Any) -> Any:
        """Return the largest acceleration."""
        return np.ones(1, np.float32)


SPEC = EnvSpec(
    name="line_world",
    config=LineWorldConfig,
    make=make,
    baselines={"full_speed": BaselineSpec(FullSpeed)},
    packages=("line-world",),
    conf=Path(__file__).parent / "conf",
)
