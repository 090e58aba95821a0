"""The options of env=line_world."""

from dataclasses import dataclass, field

from dreamer_exp.config.schema import EnvConfig, key


@dataclass(frozen=True)
class LineWorldReward:
    """Weights of the reward's terms."""

    progress: float = key(1.0, "per metre nearer to the goal")
    success: float = key(5.0, "once, at the goal")


@dataclass(frozen=True)
class LineWorldConfig(EnvConfig):
    """A robot on a line that drives to a goal."""

    name: str = key("line_world", "the environment", choices=("line_world",))
    max_steps: int = key(50, "steps of 0.1 s after which an episode is truncated (a timeout)", low=1)
    goal_m: float = key(2.0, "metres from the middle of the start area to the goal", above=0, high=10)
    friction: float = key(0.1, "share of the speed that is lost in a step", low=0, high=1)
    reward: LineWorldReward = field(default_factory=LineWorldReward)
