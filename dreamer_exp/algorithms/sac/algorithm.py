"""RLlib's SAC as an Algorithm of this package: learner, networks and losses are RLlib's."""

from functools import partial
from pathlib import Path

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.sac import SAC

from dreamer_exp.algorithms.rllib.checked_learner import seed_learner
from dreamer_exp.algorithms.rllib.learner_replay import LearnerReplayAlgorithm
from dreamer_exp.algorithms.sac.learner import ReplayLearner


class ReplaySAC(LearnerReplayAlgorithm, SAC):  # type: ignore[misc]  # RLlib is untyped
    """SAC with its replay on the learner, and with the training step of LearnerReplayAlgorithm."""

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        self._batch_steps = config.train_batch_size_per_learner
        self._first_steps = max(self._batch_steps, config.num_steps_sampled_before_learning_starts)
        self._ratio = config.training_intensity
        super().setup(config)

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

    def reseed_replay(self, number: int) -> None:
        """Draw the next batches, and the actions in them, from the random streams of this number."""
        seed_learner(self, number, again=True)
        self.on_learner(partial(_reseed_replay, number=number))


def _save_replay(learner: ReplayLearner, folder: Path) -> None:
    learner.replay.save(folder)


def _load_replay(learner: ReplayLearner, folder: Path) -> int:
    learner.replay.load(folder)
    return len(learner.replay)


def _reseed_replay(learner: ReplayLearner, number: int) -> None:
    learner.replay.reseed(number)
