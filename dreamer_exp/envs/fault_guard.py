"""Where a run meets the environment: a fault ends the episode, is counted, and past a limit stops the run."""

from typing import Any, SupportsFloat

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from dreamer_exp.envs.contract import ContractEnv, Fault, Vector
from dreamer_exp.envs.episode import FAULT


class FaultGuard(gymnasium.Wrapper[Vector, Any, Vector, Any], RecordConstructorArgs):
    """A ContractEnv whose single bad numbers don't end a run that is otherwise well.

    A fault in a step truncates the episode: the last good observation comes once more, with reward 0 and the outcome
    "fault". One at a reset is followed by another reset, without the seed, which would lead there again. The last info
    of the next episode to end tells how many `faults` there were since the one before, and the last one's text as
    `fault`. The fault after `max_faults` of them, and any other ContractError, is raised.
    """

    def __init__(self, env: ContractEnv, max_faults: int) -> None:
        RecordConstructorArgs.__init__(self, max_faults=max_faults)
        gymnasium.Wrapper.__init__(self, env)
        self._max_faults = max_faults
        self._faults = 0
        self._untold: list[str] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """The first good observation, (size,); raises ContractError."""
        while True:
            try:
                self._last, info = self.env.reset(seed=seed, options=options)
            except Fault as fault:
                self._count(fault)
                seed = None
            else:
                return self._last, info

    def step(self, action: Any) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step, or the end of the episode by a fault; raises ContractError."""
        try:
            self._last, reward, terminated, truncated, info = self.env.step(action)
        except Fault as fault:
            self._count(fault)
            return self._last.copy(), 0.0, False, True, {"outcome": FAULT, **self._told()}
        if self._untold and (terminated or truncated):
            info = {**info, **self._told()}
        return self._last, reward, terminated, truncated, info

    def _count(self, fault: Fault) -> None:
        self._faults += 1
        self._untold.append(str(fault))
        if self._faults > self._max_faults:
            raise Fault(
                f"{fault} ({self._faults} times in one environment; mend it, or allow more by env.max_faults)"
            ) from fault

    def _told(self) -> dict[str, Any]:
        told = {"faults": len(self._untold), "fault": self._untold[-1]}
        self._untold.clear()
        return told
