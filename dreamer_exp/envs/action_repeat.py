"""`env.action_repeat`: each action of the policy is applied for several steps of the simulation."""

from typing import Any, SupportsFloat

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from dreamer_exp.envs.spec import RawEnv


class ActionRepeat(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """An environment that applies each action `repeat` times, until the episode ends, and returns the summed reward.

    The environment counts its own steps, so that its step limit, `time_s` and `path_length` stay those of the
    simulation. Observations between the first and the last repetition are not seen by the policy, nor checked.
    """

    def __init__(self, env: RawEnv, repeat: int) -> None:
        """Repeat each action this many times, 2 or more."""
        RecordConstructorArgs.__init__(self, repeat=repeat)
        gymnasium.Wrapper.__init__(self, env)
        self._repeat = repeat
        if fps := env.metadata.get("render_fps"):
            self.metadata = {**env.metadata, "render_fps": fps / repeat}  # one frame for each action

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Apply the action; return the last observation and info, and the sum of the rewards."""
        total = 0.0
        for _ in range(self._repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info
