"""The fast learner's algorithm: RLlib's DreamerV3 whose updates run on the learner, many in one call."""

import math
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.utils.metrics import LEARNER_RESULTS

from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.replay import file
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3, Fragment, Iteration

BETWEEN_STOPS_S = 1.0  # a call of the learner takes about this long, so that a stop is heard


class PublishedDreamerV3(BaseDreamerV3):
    """Keeps the replay on the learner; samples the next iteration meanwhile, if `overlap_sampling`.

    Overlapped, the env runners act with weights one iteration old, and a run still repeats itself bit by bit: what is
    sampled with which weights doesn't depend on time.
    """

    @classmethod
    def get_default_config(cls) -> PublishedDreamerV3Config:
        """RLlib's way from class to config."""
        return PublishedDreamerV3Config(cls)

    def setup(self, config: AlgorithmConfig) -> None:
        """Builds RLlib's parts; nothing is sampled yet."""
        super().setup(config)
        self._steps_held = 0
        self._update_s = math.inf  # not known yet: the first call makes one
        self._sums: Counter[str] = Counter()
        self._sampler = ThreadPoolExecutor(1)
        self._sampling: Future[Fragment] | None = None

    def training_step(self) -> None:
        """As the stock loop; overlapped, this iteration's steps were sampled while the last one's updates ran."""
        if not self.config.overlap_sampling:
            super().training_step()
            return
        self.last_iteration = Iteration()
        started = time.perf_counter()
        last_sampled = self._take_in(*(self._sampling.result() if self._sampling else self._request_fragment()))
        while not self._can_learn():
            last_sampled = self._sample_fragment()
        self._push_weights()
        self._sampling = self._sampler.submit(self._request_fragment)
        self.last_iteration.sample_s = time.perf_counter() - started
        self._update(last_sampled)

    @property
    def replay_steps(self) -> int:
        """Env steps in the replay."""
        return self._steps_held

    @property
    def rung(self) -> tuple[str, str]:
        """The `kernels` that the learner's updates really run on, and why not on those asked for, or ""."""
        rung: tuple[str, str] = self.on_learner(attrgetter("rung"))
        return rung

    def module_to_evaluate(self) -> RLModule:
        """The env runner's network, brought up to date where sampling is one iteration behind the learner."""
        self._settle()
        if self.config.overlap_sampling:
            component = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
            state = self.learner_group.get_state(components=[component], inference_only=True)[COMPONENT_LEARNER]
            self.env_runner.module.set_state(state[COMPONENT_RL_MODULE][DEFAULT_MODULE_ID])
        return super().module_to_evaluate()

    def save_to_path(self, *args: Any, **kwargs: Any) -> str:
        """RLlib's checkpoint; what is being sampled comes to its end first."""
        self._settle()
        path: str = super().save_to_path(*args, **kwargs)
        return path

    def reset_episodes(self, number: int) -> int:
        """Also throws away what was sampled ahead, with the episodes that it is part of."""
        if self._sampling is not None:
            self._sampling.result()
            self._sampling = None
        return super().reset_episodes(number)

    def save_replay(self, folder: Path) -> None:
        """From the learner, which holds it."""
        self.on_learner(partial(_save_replay, folder=folder))

    def load_replay(self, folder: Path) -> None:
        """Into the learner."""
        self._steps_held = self.on_learner(partial(_load_replay, folder=folder))

    def reseed_replay(self, number: int) -> None:
        """On the learner."""
        self.on_learner(partial(_reseed_replay, number=number))

    def cleanup(self) -> None:
        """Lets the sampling in the background end, then RLlib's parts."""
        self._settle()
        self._sampler.shutdown()
        super().cleanup()

    def _push_weights(self) -> None:
        """Sends the env runners the learner's weights, once they have taken in all that they were sent before.

        Mends a trap of RLlib 2.60: it sends nothing, without a word, to a runner with another `set_state` in flight;
        it ends each iteration with one, and `timeout_seconds=0`, its default, goes on before that has arrived.
        """
        self.env_runner_group.sync_weights(
            from_worker_or_learner_group=self.learner_group, timeout_seconds=None, inference_only=True
        )

    def _settle(self) -> None:
        if self._sampling is not None:
            wait([self._sampling])

    def _can_learn(self) -> bool:
        return super()._can_learn() and self.on_learner(AgentLearner.ready)

    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        in_order = sorted(chunks, key=lambda chunk: chunk.custom_data["stream"])  # not that of the fastest env runner
        self._steps_held = self.on_learner(partial(AgentLearner.remember, chunks=in_order))

    def _update(self, env_steps: int) -> None:
        """The updates owed, and the means of their figures under RLlib's learner results."""
        self._sums.clear()
        super()._update(env_steps)
        for name, total in self._sums.items():
            key = (LEARNER_RESULTS, DEFAULT_MODULE_ID, name)
            self.metrics.log_value(key, total / self.last_iteration.updates, window=1)

    def _learn(self, at_most: int) -> int:
        updates = min(at_most, max(1, int(BETWEEN_STOPS_S / self._update_s)))
        sums, seconds = self.on_learner(partial(AgentLearner.learn, updates=updates))
        self._update_s = seconds / updates
        self._sums.update(sums)  # a Counter adds
        return updates


def _save_replay(learner: AgentLearner, folder: Path) -> None:
    file.save(learner.replay, folder)


def _load_replay(learner: AgentLearner, folder: Path) -> int:
    file.load(learner.replay, folder)
    return len(learner.replay)


def _reseed_replay(learner: AgentLearner, number: int) -> None:
    learner.replay.reseed(learner.config.seed, number)
