"""RLlib's DreamerV3 algorithm with a corrected loop; learner, networks and losses are RLlib's."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from ray.actor import ActorHandle
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dreamerv3 import DreamerV3
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO
from ray.rllib.utils.numpy import one_hot

from dreamer_exp.algorithms.dreamerv3_rllib import replay_file
from dreamer_exp.algorithms.dreamerv3_rllib.replay import SeededEpisodeReplay
from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate, figures_of, is_nonfinite
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner
from dreamer_exp.algorithms.rllib.episodes import finished
from dreamer_exp.envs.episode import EpisodeResult

Fragment = tuple[list[SingleAgentEpisode], list[Any]]  # episode chunks, and the env runners' metrics


@dataclass
class Iteration:
    """What one `training_step()` did: env steps, updates, seconds, and the episodes that ended."""

    env_steps: int = 0
    prefill_env_steps: int = 0  # of these, sampled before there was a batch; they owe no updates
    updates: int = 0
    sample_s: float = 0.0
    update_s: float = 0.0
    episodes: list[EpisodeResult] = field(default_factory=list)


class BaseDreamerV3(DreamerV3):  # type: ignore[misc]  # RLlib is untyped
    """Stock DreamerV3 with a `training_step` of our own, which corrects these traps of RLlib 2.60:

    - the replay is seeded and slim (traps 4 and 5);
    - the training ratio is kept over the whole run: what an iteration owes and cannot pay in whole updates is
      carried over (RLlib rounds up in every iteration, so that small ratios are exceeded without a word), and
      updates, seconds and finished episodes are counted here (`actual_training_ratio` always reads 0);
    - `should_stop` is asked between updates, so that an interrupt needn't wait for the whole iteration.
    """

    should_stop: Callable[[], bool] = staticmethod(lambda: False)
    last_iteration: Iteration

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, then replace its replay by the corrected one."""
        super().setup(config)
        self.updates_owed = 0.0
        self.last_iteration = Iteration()
        self.replay_buffer = SeededEpisodeReplay(
            config.replay_buffer_config["capacity"],
            batch_size_B=config.batch_size_B,
            batch_length_T=config.batch_length_T,
            seed=config.seed,
        )

    def training_step(self) -> None:
        """Sample every env once (the first time until a batch is stored), update, and send weights to env runners."""
        self.last_iteration = Iteration()
        started = time.perf_counter()
        last_sampled = self._sample_fragment()
        while not self._can_learn():
            last_sampled = self._sample_fragment()
        self.last_iteration.sample_s = time.perf_counter() - started
        self._update(last_sampled)
        self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)

    @property
    def replay_steps(self) -> int:
        """Env steps in the replay."""
        return len(self.replay_buffer)

    def module_to_evaluate(self) -> RLModule:
        """Return the network after the last update, in the main process."""
        module: RLModule = self.env_runner.module
        return module

    def env_runner_actors(self) -> dict[int, ActorHandle]:
        """Return the healthy env runners with processes of their own, by number."""
        manager = self.env_runner_group._worker_manager  # RLlib 2.60 has no public way to its actors
        return {number: actor for number, actor in manager.actors().items() if manager.is_actor_healthy(number)}

    def reset_episodes(self, number: int) -> int:
        """Cut all running episodes; the next ones start from seeds of this number. Return how many had steps."""
        return sum(self.env_runner_group.foreach_env_runner(partial(SeededEnvRunner.reset_episodes, number=number)))

    def save_replay(self, folder: Path) -> None:
        """Write the replay and its generator into a new folder."""

        replay_file.save(self.replay_buffer, folder)

    def load_replay(self, folder: Path) -> None:
        """Load a saved replay."""

        replay_file.load(self.replay_buffer, folder)

    def reseed_replay(self, number: int) -> None:
        """Continue with the random stream of this number, so that the next batches differ."""
        self.replay_buffer.reseed(self.config.seed, number)

    def on_learner(self, call: Callable[[Any], Any]) -> Any:
        """Call a function with the first learner, in its process, and return the result."""
        result = next(iter(self.learner_group.foreach_learner(call))).get()
        if isinstance(result, Exception):
            raise result
        return result

    def _can_learn(self) -> bool:
        return bool(self.replay_steps >= self.config.batch_size_B * self.config.batch_length_T)

    def _sample_fragment(self) -> int:
        return self._take_in(*self._request_fragment())

    def _request_fragment(self) -> Fragment:
        """Return a fragment of every environment: episode chunks, and the metrics of the env runners."""
        chunks, results = synchronous_parallel_sample(
            worker_set=self.env_runner_group,
            max_agent_steps=self.config.rollout_fragment_length * self.config.num_envs_per_env_runner,
            sample_timeout_s=self.config.sample_timeout_s,
            _uses_new_env_runners=True,
            _return_metrics=True,
        )
        return chunks, results

    def _take_in(self, chunks: list[SingleAgentEpisode], results: list[Any]) -> int:
        """Store and count the sampled chunks; return their env steps."""
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        self.last_iteration.episodes += finished(chunks)
        self._remember(chunks)
        sampled = sum(map(len, chunks))
        self.last_iteration.env_steps += sampled
        return sampled

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        self.replay_buffer.add(episodes=chunks)

    def _update(self, env_steps: int) -> None:
        """Pays the updates owed for these env steps. The first batch's steps owe none, as in RLlib: they would
        overtrain the world model on one batch."""
        started = time.perf_counter()
        self.last_iteration.prefill_env_steps = self.last_iteration.env_steps - env_steps
        replayed = self.config.batch_size_B * self.config.batch_length_T
        self.updates_owed += env_steps * self.config.training_ratio / replayed
        while self.updates_owed >= 1.0 and not self.should_stop():
            made = self._learn(int(self.updates_owed))
            self.last_iteration.updates += made
            self.updates_owed -= made
        self.last_iteration.update_s = time.perf_counter() - started

    def _learn(self, at_most: int) -> int:
        """Make some of these updates and return how many; a stop is checked before the next ones."""
        self.metrics.aggregate(self._update_once(), key=LEARNER_RESULTS)
        return 1

    def _update_once(self) -> list[Any]:
        sample = self.replay_buffer.sample()
        action_space = self.spaces[INPUT_ENV_SINGLE_SPACES][1]
        if isinstance(action_space, gymnasium.spaces.Discrete):
            sample["actions_ints"] = sample[Columns.ACTIONS]
            sample[Columns.ACTIONS] = one_hot(sample["actions_ints"], depth=action_space.n)
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        try:
            results: list[Any] = self.learner_group.update(
                batch=SampleBatch(sample).as_multi_agent(), timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: sampled}
            )
        except (AssertionError, ValueError) as error:
            if not is_nonfinite(error):
                raise
            raise self._diverged({}, sample, untouched=True) from error
        figures = figures_of(results)
        if not all(map(math.isfinite, figures.values())):
            raise self._diverged(figures, sample, untouched=False)
        return results

    def _diverged(self, figures: dict[str, float], sample: dict[str, Any], untouched: bool) -> NonFiniteUpdate:
        if not self.learner_group.is_local:  # RLlib 2.60 gives up a remote learner whose update raised
            for learner in range(len(self.learner_group)):
                self.learner_group._worker_manager.set_actor_state(learner, healthy=True)
        number = self.learner_group.get_state()["learner"][WEIGHTS_SEQ_NO]
        return NonFiniteUpdate(number, figures, sample, {}, untouched)
