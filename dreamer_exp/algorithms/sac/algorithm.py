"""RLlib's SAC as an Algorithm of this package: learner, networks and losses are RLlib's."""

import math
from collections import Counter
from functools import partial
from pathlib import Path

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.sac import SAC
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import LEARNER_RESULTS

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.algorithms.rllib.checked_learner import seed_learner
from dreamer_exp.algorithms.rllib.chunks import STREAM
from dreamer_exp.algorithms.rllib.replay_algorithm import ReplayAlgorithm
from dreamer_exp.algorithms.sac.learner import ReplayLearner

LEARNER_CALL_S = 1.0  # aimed-at duration of a call of the learner; a stop request waits for its end


class ReplaySAC(ReplayAlgorithm, SAC):  # type: ignore[misc]  # RLlib is untyped
    """SAC with its replay on the learner, and with the training step of ReplayAlgorithm."""

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        self._batch_steps = config.train_batch_size_per_learner
        self._first_steps = max(self._batch_steps, config.num_steps_sampled_before_learning_starts)
        self._ratio = config.training_intensity
        super().setup(config)
        self._steps_held = 0
        self._update_s = math.inf  # duration of an update; unknown, so that the first call makes one update
        self._sums: Counter[str] = Counter()

    @property
    def replay_steps(self) -> int:
        """Number of env steps in the replay."""
        return self._steps_held

    def reset_episodes(self, number: int) -> int:
        """Cut all running episodes, and draw the next updates' actions by this number."""
        seed_learner(self, number)
        return super().reset_episodes(number)

    def save_replay(self, folder: Path) -> None:
        """Write the learner's replay into a new folder."""
        self.on_learner(partial(_save_replay, folder=folder))

    def load_replay(self, folder: Path) -> None:
        """Load a saved replay into the learner's."""
        self._steps_held = self.on_learner(partial(_load_replay, folder=folder))

    def recorded_steps(self, most: int) -> RecordedSteps:
        """Raise NotImplementedError: there is no world model to check."""
        raise NotImplementedError("SAC has no world model, for whose check these steps are.")

    def reseed_replay(self, number: int) -> None:
        """Draw the next batches, and the actions in them, from the random streams of this number."""
        seed_learner(self, number, again=True)
        self.on_learner(partial(_reseed_replay, number=number))

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        in_order = sorted(chunks, key=lambda chunk: chunk.custom_data[STREAM])  # independent of timing
        self._steps_held = self.on_learner(partial(ReplayLearner.add, chunks=in_order))

    def _update(self, env_steps: int) -> None:
        """Make the updates owed, and log the means of their figures among RLlib's learner results."""
        self._sums.clear()
        super()._update(env_steps)
        for name, total in self._sums.items():
            key = (LEARNER_RESULTS, DEFAULT_MODULE_ID, name)
            self.metrics.log_value(key, total / self.last_iteration.updates, window=1)

    def _learn(self, at_most: int) -> int:
        updates = min(at_most, max(1, int(LEARNER_CALL_S / self._update_s)))
        found = self.on_learner(partial(ReplayLearner.learn, updates=updates))
        if isinstance(found, NonFiniteUpdate):
            raise found
        sums, seconds = found
        self._update_s = seconds / updates
        self._sums.update(sums)  # Counter.update adds
        return updates


def _save_replay(learner: ReplayLearner, folder: Path) -> None:
    learner.replay.save(folder)


def _load_replay(learner: ReplayLearner, folder: Path) -> int:
    learner.replay.load(folder)
    return len(learner.replay)


def _reseed_replay(learner: ReplayLearner, number: int) -> None:
    learner.replay.reseed(number)
