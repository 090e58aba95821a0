"""The options of env=gym."""

from dataclasses import dataclass
from typing import Any

from dreamer_exp.config.schema import EnvConfig, key


@dataclass(frozen=True)
class GymConfig(EnvConfig):
    """Any registered Gymnasium environment with Box or Discrete actions."""

    name: str = key("gym", "the environment", choices=("gym",))
    max_steps: int = key(
        1000, "steps after which an episode is truncated; the environment's own limit applies if it is lower", low=1
    )
    id: str = key("Pendulum-v1", "Gymnasium id, `module:Name-v0` to import the module that registers it")
    kwargs: dict[str, Any] = key({}, "keyword arguments for gymnasium.make")

    @property
    def label(self) -> str:
        """What messages call the environment."""
        return f"env.id={self.id!r}"
