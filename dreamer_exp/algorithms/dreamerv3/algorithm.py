"""The published algorithm as an RLlib Algorithm: the replay is on the learner, which makes many updates in one call."""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.replay import file
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.protocol import Backend, Iteration, RecordedSteps
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.base_algorithm import Fragment
from dreamer_exp.algorithms.rllib.learner_replay import LearnerReplayAlgorithm


class PublishedDreamerV3(LearnerReplayAlgorithm, BaseDreamerV3):
    """DreamerV3 with its replay on the learner, and optionally with sampling during the updates.

    With `overlap_sampling`, env runners act with the weights of the iteration before. Runs still repeat bit for bit:
    which steps are sampled with which weights does not depend on timing.
    """

    @classmethod
    def get_default_config(cls) -> PublishedDreamerV3Config:
        """Return the config that RLlib builds this class from."""
        return PublishedDreamerV3Config(cls)

    def setup(self, config: AlgorithmConfig) -> None:
        """Build the algorithm, without sampling yet."""
        super().setup(config)
        self._sampler = ThreadPoolExecutor(1)
        self._sampling: Future[Fragment] | None = None

    def training_step(self) -> None:
        """Sample, update and push weights; with overlap, take the steps sampled during the last updates.

        With overlap, the states of the connectors are not exchanged: AgentEnvRunner has none, and the learner would
        wait for env runners that sample or evaluate.
        """
        if not self.config.overlap_sampling:
            super().training_step()
            return
        self.last_iteration = Iteration()
        started = time.perf_counter()
        if self._sampling:
            last_sampled = self._take_in(*self._sampled())
        else:  # at the beginning, or after a checkpoint; a resumed run has the latest weights here too
            self._sync_weights(timeout_s=None)
            last_sampled = self._sample_fragment()
        while not self._can_learn():
            last_sampled = self._sample_fragment()
        # RLlib 2.60 silently skips an env runner that has not answered the last call
        self._sync_weights(timeout_s=None)
        self._send_scenario_weights()
        self._sampling = None if self.watch.is_broken else self._sampler.submit(self._request_fragment)
        self.last_iteration.sample_s = time.perf_counter() - started
        self._update(last_sampled)

    @property
    def backend(self) -> Backend:
        """Backend that the learner's updates use."""
        backend: Backend = self.on_learner(attrgetter("backend"))
        return backend

    def module_to_evaluate(self) -> RLModule:
        """Return the local env runner's network with the learner's latest weights."""
        self._wait_for_sampling()
        if self.config.overlap_sampling:
            component = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
            state = self.learner_group.get_state(components=[component], inference_only=True)[COMPONENT_LEARNER]
            self.env_runner.module.set_state(state[COMPONENT_RL_MODULE][DEFAULT_MODULE_ID])
        return super().module_to_evaluate()

    def save_to_path(self, *args: Any, **kwargs: Any) -> str:
        """Write RLlib's checkpoint once sampling in the background has finished."""
        self._wait_for_sampling()
        path: str = super().save_to_path(*args, **kwargs)
        return path

    def reset_episodes(self, number: int) -> int:
        """Begin new episodes; steps sampled in the background are dropped with theirs."""
        if self._sampling is not None:
            self._sampled()
            self._sampling = None
        return super().reset_episodes(number)

    def save_replay(self, folder: Path) -> None:
        """Write the learner's replay into a new folder."""
        self.on_learner(partial(_save_replay, folder=folder))

    def load_replay(self, folder: Path) -> None:
        """Load a saved replay into the learner's."""
        self._steps_held = self.on_learner(partial(_load_replay, folder=folder))

    def recorded_steps(self, most: int) -> RecordedSteps:
        """Return up to this number of the newest steps of the learner's replay."""
        steps: RecordedSteps = self.on_learner(partial(_recorded_steps, most=most))
        return steps

    def reseed_replay(self, number: int) -> None:
        """Draw the next batches from the random stream of this number."""
        self.on_learner(partial(_reseed_replay, number=number))

    def cleanup(self) -> None:
        """Wait for sampling in the background, then stop RLlib's workers."""
        self._wait_for_sampling()
        self._sampler.shutdown()
        super().cleanup()

    def give_up_env_runners(self) -> None:
        """Call no env runner any more, and do not wait for the sampling in the background."""
        self._sampling = None
        super().give_up_env_runners()

    def _sampled(self) -> Fragment:
        """Return what was sampled in the background."""
        assert self._sampling is not None
        with self.watch.waiting():
            return self._sampling.result()

    def _wait_for_sampling(self) -> None:
        if self._sampling is not None:
            with self.watch.waiting():
                wait([self._sampling])

    def _can_learn(self) -> bool:
        return super()._can_learn() and self.on_learner(AgentLearner.ready)


def _save_replay(learner: AgentLearner, folder: Path) -> None:
    file.save(learner.replay, folder)


def _load_replay(learner: AgentLearner, folder: Path) -> int:
    file.load(learner.replay, folder)
    return len(learner.replay)


def _recorded_steps(learner: AgentLearner, most: int) -> RecordedSteps:
    return learner.replay.newest(most)


def _reseed_replay(learner: AgentLearner, number: int) -> None:
    learner.replay.reseed(learner.config.seed, number)
