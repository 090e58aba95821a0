"""RLlib's env runner, mended: errors reach the driver as they were, and every environment has a seed of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner


def env_seed(run_seed: int, worker_index: int, env_index: int) -> int:
    """The seed of an environment's first reset: another one for each run seed, env runner and place in it.

    (numpy's SeedSequence, so that neighbouring numbers share nothing; the replay's stream has spawn key 1.)
    """
    sequence = np.random.SeedSequence(run_seed, spawn_key=(2, worker_index, env_index))
    return int(sequence.generate_state(1)[0] >> 1)


class CandidEnvRunner(SingleAgentEnvRunner):  # type: ignore[misc]  # RLlib is untyped
    """SingleAgentEnvRunner whose failures can be read, and whose environments are seeded apart.

    Mends three traps of RLlib 2.60: an environment's error becomes a RuntimeError without a message; a remote env
    runner that meets any error exits, so that the driver hears of a dead actor and never of the reason; and env i of
    runner w is seeded with seed + w + i, so that neighbouring runners, and runs with neighbouring seeds, live the same
    episodes.
    """

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Runs the function here; its error goes back to the driver through Ray."""
        return func(self, *args, **kwargs)

    def _try_env_reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            seeds = [env_seed(self.config.seed, self.worker_index or 0, i) for i in range(self.num_envs)]
            return super()._try_env_reset(seed=seeds, options=options)
        return super()._try_env_reset(seed=None, options=options)

    def _try_env_step(self, actions: Any) -> Any:
        try:
            return super()._try_env_step(actions)
        except RuntimeError as error:
            raise error.__cause__ or error from None
