"""RLlib's env runner, mended: what went wrong in an environment reaches the driver as it was."""

from collections.abc import Callable
from typing import Any

from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner


class CandidEnvRunner(SingleAgentEnvRunner):  # type: ignore[misc]  # RLlib is untyped
    """SingleAgentEnvRunner whose failures can be read.

    Mends two traps of RLlib 2.60: an environment's error becomes a RuntimeError without a message, and a remote env
    runner that meets any error exits, so that the driver hears of a dead actor and never of the reason.
    """

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs the function here; its error goes back to the driver through Ray."""
        return func(self, *args, **kwargs)

    def _try_env_step(self, actions: Any) -> Any:
        try:
            return super()._try_env_step(actions)
        except RuntimeError as error:
            raise error.__cause__ or error from None
