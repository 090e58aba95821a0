"""The fast learner's env runner: a list of environments, one forward a step for all of them, no connectors."""

from typing import Any

import gymnasium
import numpy as np
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.tune.registry import ENV_CREATOR, _global_registry

from dreamer_exp.algorithms.dreamerv3.acting.chunks import Track, result
from dreamer_exp.algorithms.dreamerv3.acting.policy import AgentPolicy
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner, env_seed, policy_seed


class AgentEnvRunner(SeededEnvRunner):
    """Returns chunks of episodes with the latents that acted; a chunk's custom_data tells its stream and its result.

    An environment is reset as soon as it is done, and its errors leave `sample()` as they are. Episodes go on from one
    call to the next, whatever weights arrive in between. RLlib's sample() holds what is around the loop: timers,
    defaults, `on_sample_end`. Its other callbacks, and restarting environments that fail, are not for this runner.
    """

    env: gymnasium.vector.SyncVectorEnv | None

    def make_env(self) -> None:
        """Plain environments, without the wrappers that gymnasium.make_vec puts around each.

        RLlib's rest needs a vector environment for its spaces and to close it; it is never stepped.
        """
        if self.env is not None:
            self.env.close()
        create = _global_registry.get(ENV_CREATOR, self.config.env)
        context = EnvContext(self.config.env_config, worker_index=self.worker_index, num_workers=self.num_workers)
        self.num_envs = self.config.num_envs_per_env_runner
        self.env = gymnasium.vector.SyncVectorEnv([lambda: create(context)] * self.num_envs)
        self._needs_initial_reset = True

    def get_metrics(self) -> Any:
        """RLlib's figures of the episodes that ended since the last call."""
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
                f"AgentEnvRunner samples env steps with its policy; asked for num_timesteps={num_timesteps}, "
                f"num_episodes={num_episodes}, random_actions={random_actions} (batch_mode={self.config.batch_mode})"
            )
        if force_reset or self._needs_initial_reset:
            self._begin()
        self._policy.explore = explore
        chunks: list[SingleAgentEpisode] = []
        ticks = -(-num_timesteps // self.num_envs)
        for _ in range(ticks):
            chunks += self._tick()
        done = len(chunks)
        chunks += filter(None, [track.cut() for track in self._tracks])
        self._count(ticks * self.num_envs, done)
        return chunks

    def _begin(self) -> None:
        """New episodes everywhere; the first time, with the run's seeds."""
        seeds: list[int | None] = [None] * self.num_envs
        if self._needs_initial_reset:
            worker = self.worker_index or 0
            seeds = [env_seed(self.config.seed, worker, i, self._number) for i in range(self.num_envs)]
            noise = policy_seed(self.config.seed, worker, self._number)
            self._policy = AgentPolicy(self.module.agent, self.num_envs, noise)
            self._set_out(worker)
        for i, seed in enumerate(seeds):
            self._reset(i, seed)
        self._needs_initial_reset = False

    def _under_way(self) -> int:
        return sum(track.length > 0 for track in self._tracks)

    def _set_out(self, worker: int) -> None:
        assert self.env is not None
        observation_space, action_space = self.env.single_observation_space, self.env.single_action_space
        assert observation_space.shape is not None
        self._envs = list(self.env.envs)
        self._tracks = [Track((worker, i), observation_space, action_space) for i in range(self.num_envs)]
        self._observations = np.zeros((self.num_envs, *observation_space.shape), np.float32)
        self._is_first = np.ones(self.num_envs, np.bool_)

    def _reset(self, i: int, seed: int | None = None) -> None:
        observation, _ = self._envs[i].reset(seed=seed)
        self._tracks[i].begin(observation)
        self._observations[i] = observation
        self._is_first[i] = True

    def _tick(self) -> list[SingleAgentEpisode]:
        """One step of every environment; the chunks of the episodes that it ended."""
        actions = self._policy.act(self._observations, self._is_first)
        self._is_first[:] = False
        deters, stochs = self._policy.deter, self._policy.stoch
        chunks = []
        for i, (env, track) in enumerate(zip(self._envs, self._tracks, strict=True)):
            observation, reward, terminated, truncated, info = env.step(actions[i])
            track.add(actions[i], deters[i], stochs[i], observation, float(reward))
            if terminated or truncated:
                chunks.append(track.finish(bool(terminated), bool(truncated), info))
                self._note(chunks[-1], track.seconds)
                self._reset(i)
            else:
                self._observations[i] = observation
        return chunks

    def _note(self, chunk: SingleAgentEpisode, seconds: float) -> None:
        ended = result(chunk)  # now: whoever takes the chunk may take the result out of it
        self._done_episodes_for_metrics.append((ended.length, ended.episode_return, seconds))

    def _count(self, env_steps: int, episodes: int) -> None:
        if env_steps:
            self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=env_steps)
        self._increase_sampled_metrics(env_steps, episodes)
