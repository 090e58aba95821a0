"""Env runner that steps all its environments with one forward pass, without connectors."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.tune.registry import ENV_CREATOR, _global_registry

from dreamer_exp.algorithms.rllib.chunks import EpisodeRecorder, result
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner, env_seed, policy_seed


class VectorEnvRunner(SeededEnvRunner):
    """Env runner whose `sample()` returns episode chunks with the outputs of the network that chose their actions.

    A chunk's custom_data holds its stream and, if it finishes an episode, the result. An environment is reset as soon
    as its episode ends; its exceptions leave `sample()` unchanged. Episodes continue from one call to the next, also if
    new weights arrive in between. RLlib's `sample()` provides timers, defaults and `on_sample_end`. Other callbacks and
    the restart of failed environments are not supported.

    A subclass makes the policy and computes the actions.
    """

    env: gymnasium.vector.SyncVectorEnv | None

    def make_env(self) -> None:
        """Create the environments, without the wrappers of gymnasium.make_vec.

        RLlib reads the spaces of a vector environment and closes it; the vector environment is never stepped.
        """
        if self.env is not None:
            self.env.close()
        create = _global_registry.get(ENV_CREATOR, self.config.env)
        context = EnvContext(self.config.env_config, worker_index=self.worker_index, num_workers=self.num_workers)
        self.num_envs = self.config.num_envs_per_env_runner
        self.env = gymnasium.vector.SyncVectorEnv([lambda: create(context)] * self.num_envs)
        self._needs_initial_reset = True

    def get_metrics(self) -> Any:
        """Return RLlib's metrics of the episodes that ended since the last call."""
        for length, episode_return, seconds in self._done_episodes_for_metrics:
            self._log_episode_metrics(length, episode_return, seconds)
        self._done_episodes_for_metrics.clear()
        return self.metrics.reduce()

    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        if num_timesteps is None or random_actions:
            raise NotImplementedError(
                f"{type(self).__name__} samples a number of env steps with its policy, not "
                f"num_timesteps={num_timesteps}, num_episodes={num_episodes}, random_actions={random_actions} "
                f"(batch_mode={self.config.batch_mode})"
            )
        if force_reset or self._needs_initial_reset:
            self._reset_all()
        self._explore = explore
        chunks: list[SingleAgentEpisode] = []
        rounds = -(-num_timesteps // self.num_envs)
        for _ in range(rounds):
            chunks += self._step_all()
        finished = len(chunks)
        chunks += filter(None, [recorder.cut() for recorder in self._recorders])
        self._log_sampled(rounds * self.num_envs, finished)
        return chunks

    @abstractmethod
    def _make_policy(self, seed: int) -> None:
        """Make the policy for all environments, with noise of this seed."""

    @abstractmethod
    def _act(
        self, observations: NDArray[np.float32], is_first: NDArray[np.bool_], explore: bool
    ) -> tuple[NDArray[Any], NDArray[Any], Mapping[str, NDArray[Any]]]:
        """Return the actions for the environments, those to record, and further outputs, with a row for each env.

        Args:
            observations: (N, O).
            is_first: where an episode begins (N,).
            explore: whether to draw the actions.
        """

    def _reset_all(self) -> None:
        """Begin a new episode in every environment; the initial reset uses the run's seeds."""
        seeds: list[int | None] = [None] * self.num_envs
        if self._needs_initial_reset:
            worker = self.worker_index or 0
            seeds = [env_seed(self.config.seed, worker, i, self._number) for i in range(self.num_envs)]
            noise = policy_seed(self.config.seed, worker, self._number)
            self._make_policy(noise)
            self._make_recorders(worker)
        for i, seed in enumerate(seeds):
            self._reset(i, seed)
        self._needs_initial_reset = False

    def _count_running(self) -> int:
        return sum(recorder.length > 0 for recorder in self._recorders)

    def _make_recorders(self, worker: int) -> None:
        assert self.env is not None
        observation_space, action_space = self.env.single_observation_space, self.env.single_action_space
        assert observation_space.shape is not None
        self._envs = list(self.env.envs)
        self._recorders = [EpisodeRecorder((worker, i), observation_space, action_space) for i in range(self.num_envs)]
        self._observations = np.zeros((self.num_envs, *observation_space.shape), np.float32)
        self._is_first = np.ones(self.num_envs, np.bool_)

    def _reset(self, i: int, seed: int | None = None) -> None:
        observation, _ = self._envs[i].reset(seed=seed)
        self._recorders[i].begin(observation)
        self._observations[i] = observation
        self._is_first[i] = True

    def _step_all(self) -> list[SingleAgentEpisode]:
        """Step every environment once; return the last chunks of the episodes that ended."""
        actions, recorded, outputs = self._act(self._observations, self._is_first, self._explore)
        self._is_first[:] = False
        chunks = []
        for i, (env, recorder) in enumerate(zip(self._envs, self._recorders, strict=True)):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            of_env = {name: rows[i] for name, rows in outputs.items()}
            recorder.add(recorded[i], of_env, observation, float(reward))
            if terminated or truncated:
                chunks.append(recorder.finish(bool(terminated), bool(truncated), info))
                self._keep_metrics(chunks[-1], recorder.seconds)
                self._reset(i)
            else:
                self._observations[i] = observation
        return chunks

    def _keep_metrics(self, chunk: SingleAgentEpisode, seconds: float) -> None:
        ended = result(chunk)  # read it now: the receiver of the chunk may remove it
        self._done_episodes_for_metrics.append((ended.length, ended.episode_return, seconds))

    def _log_sampled(self, env_steps: int, episodes: int) -> None:
        if env_steps:
            self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=env_steps)
        self._increase_sampled_metrics(env_steps, episodes)
