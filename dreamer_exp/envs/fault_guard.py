"""Limits what a single bad number of an environment can do to a run: it ends one episode, and many stop the run."""

from typing import Any, SupportsFloat

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from dreamer_exp.envs.contract import ContractEnv, Fault, Vector
from dreamer_exp.envs.episode import FAULT


class FaultGuard(gymnasium.Wrapper[Vector, Any, Vector, Any], RecordConstructorArgs):
    """A ContractEnv that survives up to `max_faults` faults.

    A fault in `step` truncates the episode: the last good observation is returned once more, with reward 0 and the
    outcome "fault". After a fault in `reset`, the environment is reset again, without the seed, since the same seed
    would fail again. The info at the end of the next episode holds the number of `faults` since the previous one, and
    the message of the last fault as `fault`. One more fault than `max_faults`, and any other ContractError, is raised.
    """

    def __init__(self, env: ContractEnv, max_faults: int) -> None:
        RecordConstructorArgs.__init__(self, max_faults=max_faults)
        gymnasium.Wrapper.__init__(self, env)
        self._max_faults = max_faults
        self._faults = 0
        self._unreported: list[str] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Return the first good observation, (size,), and its info.

        Raises:
            ContractError: too many faults, or an error that no other episode can avoid.
        """
        while True:
            try:
                self._last, info = self.env.reset(seed=seed, options=options)
            except Fault as fault:
                self._count(fault)
                seed = None
            else:
                return self._last, info

    def step(self, action: Any) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment, or end the episode after a fault; raise ContractError as `reset` does."""
        try:
            self._last, reward, terminated, truncated, info = self.env.step(action)
        except Fault as fault:
            self._count(fault)
            return self._last.copy(), 0.0, False, True, {"outcome": FAULT, **self._report()}
        if self._unreported and (terminated or truncated):
            info = {**info, **self._report()}
        return self._last, reward, terminated, truncated, info

    def _count(self, fault: Fault) -> None:
        self._faults += 1
        self._unreported.append(str(fault))
        if self._faults > self._max_faults:
            raise Fault(
                f"{fault} ({self._faults} times in one environment; fix the environment, or raise env.max_faults)"
            ) from fault

    def _report(self) -> dict[str, Any]:
        report = {"faults": len(self._unreported), "fault": self._unreported[-1]}
        self._unreported.clear()
        return report
