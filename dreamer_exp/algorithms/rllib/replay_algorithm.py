"""The training step of algorithms with a replay; subclasses provide replay and updates."""

import time
from abc import abstractmethod
from pathlib import Path

from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.algorithms.rllib.base_algorithm import BaseAlgorithm


class ReplayAlgorithm(BaseAlgorithm):
    """Part of an algorithm with a replay, to be put before a class of RLlib's, whose `training_step` differs:

    - The training ratio is kept over the run: a fraction of an update is carried over to the next iteration. RLlib
      rounds up in every iteration, so that small ratios are exceeded.
    - Updates, seconds and finished episodes are counted; RLlib's `actual_training_ratio` is always 0.
    - `should_stop` is called between updates, so that a stop does not wait for the end of the iteration.

    A subclass has the replay and makes the updates.
    """

    _batch_steps: int  # in one update
    _first_steps: int  # in the replay before the first update
    _ratio: float  # replayed steps per env step

    def training_step(self) -> None:
        """Sample every env once (the first time until a batch is stored), update, and send weights to env runners."""
        self.last_iteration = Iteration()
        started = time.perf_counter()
        last_sampled = self._sample_fragment()
        while not self._can_learn():
            last_sampled = self._sample_fragment()
        self.last_iteration.sample_s = time.perf_counter() - started
        self._update(last_sampled)
        self._sync_weights()
        self._sync_states()

    @property
    @abstractmethod
    def replay_steps(self) -> int:
        """Number of env steps in the replay."""

    @abstractmethod
    def save_replay(self, folder: Path) -> None:
        """Write the replay and its random generator into a new folder."""

    @abstractmethod
    def load_replay(self, folder: Path) -> None:
        """Load a saved replay."""

    @abstractmethod
    def reseed_replay(self, number: int) -> None:
        """Draw the next batches from the random stream of this number."""

    def _can_learn(self) -> bool:
        return self.replay_steps >= self._first_steps

    @abstractmethod
    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        """Add sampled episode chunks to the replay."""

    def _update(self, env_steps: int) -> None:
        """Make the updates that the training ratio gives for these env steps.

        The steps before the last fragment of the first iteration give none, as in RLlib: their updates would overfit
        the network to a single batch.
        """
        started = time.perf_counter()
        self.last_iteration.prefill_env_steps = self.last_iteration.env_steps - env_steps
        self.updates_owed += env_steps * self._ratio / self._batch_steps
        while self.updates_owed >= 1.0 and not self.should_stop():
            made = self._learn(int(self.updates_owed))
            self.last_iteration.updates += made
            self.updates_owed -= made
        self.last_iteration.update_s = time.perf_counter() - started

    @abstractmethod
    def _learn(self, at_most: int) -> int:
        """Make some of these updates and return how many; a stop is checked before the next ones."""
