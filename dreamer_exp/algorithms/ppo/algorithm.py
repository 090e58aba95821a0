"""RLlib's PPO as an Algorithm of this package: learner, networks and losses are RLlib's."""

import time
from functools import partial
from pathlib import Path

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import LEARNER_RESULTS

from dreamer_exp.algorithms.ppo import collected_file
from dreamer_exp.algorithms.ppo.learner import EpochLearner
from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.algorithms.rllib.base_algorithm import BaseAlgorithm
from dreamer_exp.algorithms.rllib.checked_learner import seed_learner
from dreamer_exp.algorithms.rllib.chunks import STREAM


class CollectingPPO(BaseAlgorithm, PPO):  # type: ignore[misc]  # RLlib is untyped
    """PPO whose batch is collected over iterations; RLlib samples it in one, whatever the fragment's length.

    An iteration therefore samples the same number of env steps as with other algorithms. The iteration that completes a
    batch makes the updates; the policy does not change before.
    """

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        super().setup(config)
        self._collected: list[SingleAgentEpisode] = []

    def training_step(self) -> None:
        """Sample every env once; with a complete batch, update and send weights to the env runners."""
        self.last_iteration = Iteration()
        started = time.perf_counter()
        self._sample_fragment()
        sampled = time.perf_counter()
        self.last_iteration.sample_s = sampled - started
        steps = sum(map(len, self._collected))
        if steps >= self.config.train_batch_size_per_learner and not self.should_stop():
            self._learn()
            self._sync_weights()
            steps = 0
        self.updates_owed = steps * self.config.num_epochs / self.config.minibatch_size
        self.last_iteration.update_s = time.perf_counter() - sampled

    @property
    def replay_steps(self) -> int:
        """0: there is no replay."""
        return 0

    def reset_episodes(self, number: int) -> int:
        """Cut all running episodes, and draw the next minibatches by this number."""
        seed_learner(self, number)
        return super().reset_episodes(number)

    def save_replay(self, folder: Path) -> None:
        """Write the steps that wait for a complete batch into a new folder."""
        collected_file.save(self._collected, folder)

    def load_replay(self, folder: Path) -> None:
        """Load steps that wait for a complete batch."""
        self._collected = collected_file.load(folder)

    def reseed_replay(self, number: int) -> None:
        """Draw the next minibatches from the random stream of this number."""
        seed_learner(self, number, again=True)

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        self._collected += sorted(chunks, key=lambda chunk: chunk.custom_data[STREAM])  # independent of timing

    def _learn(self) -> None:
        """Make the updates with the collected steps, and log the means of their figures."""
        episodes, self._collected = joined(self._collected), []
        figures, updates = self.on_learner(partial(EpochLearner.learn, episodes=episodes))
        for name, value in figures.items():
            self.metrics.log_value((LEARNER_RESULTS, DEFAULT_MODULE_ID, name), value, window=1)
        self.last_iteration.updates = updates


def joined(chunks: list[SingleAgentEpisode]) -> list[SingleAgentEpisode]:
    """Join consecutive chunks of an episode, so that advantages reach over them; the first chunk of each is changed."""
    episodes: dict[str, SingleAgentEpisode] = {}
    for chunk in chunks:
        if chunk.id_ in episodes:
            episodes[chunk.id_].concat_episode(chunk)
        else:
            episodes[chunk.id_] = chunk
    return list(episodes.values())
