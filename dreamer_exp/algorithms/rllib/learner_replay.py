"""Algorithms whose replay is in the learner's process, which makes many updates in one call."""

import math
from collections import Counter
from operator import methodcaller

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import LEARNER_RESULTS

from dreamer_exp.algorithms.rllib.chunks import STREAM
from dreamer_exp.algorithms.rllib.replay_algorithm import ReplayAlgorithm

LEARNER_CALL_S = 1.0  # aimed-at duration of a call of the learner; a stop request waits for its end


class LearnerReplayAlgorithm(ReplayAlgorithm):
    """ReplayAlgorithm whose learner has `add(chunks)`, the steps then held, and `learn(updates)`, sums and seconds."""

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        super().setup(config)
        self._steps_held = 0
        self._update_s = math.inf  # duration of an update; unknown, so that the first call makes one update
        self._sums: Counter[str] = Counter()

    @property
    def replay_steps(self) -> int:
        """Number of env steps in the replay."""
        return self._steps_held

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        self._steps_held = self.on_learner(methodcaller("add", in_order(chunks)))

    def _update(self, env_steps: int) -> None:
        """Make the updates owed, and log the means of their figures among RLlib's learner results."""
        self._sums.clear()
        super()._update(env_steps)
        for name, total in self._sums.items():
            key = (LEARNER_RESULTS, DEFAULT_MODULE_ID, name)
            self.metrics.log_value(key, total / self.last_iteration.updates, window=1)

    def _learn(self, at_most: int) -> int:
        updates = min(at_most, max(1, int(LEARNER_CALL_S / self._update_s)))
        sums, seconds = self.on_learner(methodcaller("learn", updates))
        self._update_s = seconds / updates
        self._sums.update(sums)  # Counter.update adds
        return updates


def in_order(chunks: list[SingleAgentEpisode]) -> list[SingleAgentEpisode]:
    """Return the chunks by stream, so that their order does not depend on timing."""
    return sorted(chunks, key=lambda chunk: chunk.custom_data[STREAM])
