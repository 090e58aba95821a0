"""RLlib's env runner with unchanged errors of environments and with a separate seed for every environment."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from dreamer_exp.envs.boundary import ignore_ctrl_c
from dreamer_exp.envs.seeds import derive_seed


def env_seed(run_seed: int, worker_index: int, env_index: int, number: int = 0) -> int:
    """Return the seed of an environment's first reset.

    It comes from numpy's SeedSequence with spawn key 2 (the replay has 1), so that neighbouring run seeds, env runners
    and environments have unrelated seeds. `number` is the number of env steps at the checkpoint of the last reset.
    """
    return _seed(run_seed, (2, worker_index, env_index), number)


def policy_seed(run_seed: int, worker_index: int, number: int = 0) -> int:
    """Return the seed of an env runner's policy noise, as `env_seed` with spawn key 3."""
    return _seed(run_seed, (3, worker_index), number)


def _seed(run_seed: int, stream: tuple[int, ...], number: int) -> int:
    return derive_seed(run_seed, (*stream, number) if number else stream)


class SeededEnvRunner(SingleAgentEnvRunner):  # type: ignore[misc]  # RLlib is untyped
    """SingleAgentEnvRunner that differs from RLlib 2.60:

    - An environment's error reaches the driver. RLlib replaces it by a RuntimeError without a message, and a remote env
      runner exits, so that the driver only reports a dead actor.
    - A KeyboardInterrupt of an environment is an error of the environment, not the end of the task.
    - Every environment has an unrelated seed. RLlib seeds environment i of env runner w with seed + w + i, so that
      neighbouring env runners, and runs with neighbouring seeds, have the same episodes.
    """

    rollouts: Any = None
    """Episodes of an evaluation that run here (evaluation/workers/env_runners.py)."""
    _number = 0  # env steps at the last checkpoint
    _needs_initial_reset: bool
    env: gymnasium.vector.VectorEnv[Any, Any, Any] | None

    def __init__(self, **arguments: Any) -> None:
        if arguments.get("worker_index"):  # in a process of its own, where no terminal raises KeyboardInterrupt
            ignore_ctrl_c()
        super().__init__(**arguments)

    def reset_episodes(self, number: int) -> int:
        """Drop the running episodes; the next sample() starts new ones from seeds of this number.

        A checkpoint can then do without the environments' state. Return how many episodes had steps.
        """
        cut = 0 if self._needs_initial_reset else self._count_running()
        self._number, self._needs_initial_reset = number, True
        self.module.is_stateful()  # RLlib's module draws a latent in the first call: now instead of after a resume
        if self.worker_index:  # in a separate process; the checkpoint has the state of the main process's generators
            torch.manual_seed(policy_seed(self.config.seed, self.worker_index, number))
        return cut

    def close_envs(self) -> None:
        """Close the environments; `make_env` makes new ones."""
        if self.env is not None:
            self.env.close()
            self.env = None

    def set_scenario_weights(self, weights: Mapping[str, float]) -> None:
        """Draw the scenarios of the next episodes by these weights."""
        if self.env is not None:
            vector: Any = self.env.unwrapped  # RLlib's wrappers have no `call`
            vector.call("set_scenario_weights", weights)

    def _count_running(self) -> int:
        return sum(episode is not None and episode.t > 0 for episode in self._ongoing_episodes)

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function in this process; Ray sends its error to the driver."""
        return func(self, *args, **kwargs)

    def _try_env_reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            seeds = [env_seed(self.config.seed, self.worker_index or 0, i, self._number) for i in range(self.num_envs)]
            return super()._try_env_reset(seed=seeds, options=options)
        return super()._try_env_reset(seed=None, options=options)

    def _try_env_step(self, actions: Any) -> Any:
        try:
            return super()._try_env_step(actions)
        except RuntimeError as error:
            raise error.__cause__ or error from None
