"""The published algorithm as an RLlib Algorithm: the replay is on the learner, which makes many updates in one call."""

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.dreamerv3.acting.env_runner import AgentEnvRunner
from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.replay import file
from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer
from dreamer_exp.algorithms.dreamerv3.replay.steps import Pieces
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.protocol import Backend, Iteration, RecordedSteps
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.base_algorithm import Fragment
from dreamer_exp.algorithms.rllib.learner_replay import LearnerReplayAlgorithm, in_order


class NewWeights(NamedTuple):
    """What env runners set before they sample."""

    network: Transfer | None
    """Weights of the network; None if the env runner has them."""
    scenarios: Mapping[str, float] | None
    """Weights of the scenarios; None leaves them."""


class Sampled(NamedTuple):
    """A fragment that was sampled in the background."""

    chunks: list[SingleAgentEpisode]
    results: list[Any]
    """Metrics of the env runners."""
    steps: Pieces | None
    """Of the chunks, for the replay; None if there are none, or if the learner is in another process."""


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
        self._sampling: Future[Sampled] | None = None

    def training_step(self) -> None:
        """Sample, update and push weights; with overlap, take the steps sampled during the last updates.

        With overlap, all that the updates do not need happens during them, in the thread that samples: the weights are
        sent with the request of a fragment, and its chunks become steps of the replay. The states of the connectors are
        not exchanged: AgentEnvRunner has none, and the learner would wait for env runners that sample or evaluate.
        """
        if not self.config.overlap_sampling:
            super().training_step()
            return
        self.last_iteration = Iteration()
        started = time.perf_counter()
        if self._sampling:
            last_sampled = self._take_in_sampled(self._sampled())
        else:  # at the beginning, or after a checkpoint; a resumed run has the latest weights here too
            self._sync_weights(timeout_s=None)
            last_sampled = self._sample_fragment()
        while not self._can_learn():
            last_sampled = self._sample_fragment()
        self._sampling = None if self.watch.is_broken else self._sampler.submit(self._sample_with, self._new_weights())
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

    def _new_weights(self) -> NewWeights:
        """Return what the env runners need before they sample, without waiting for a GPU."""
        scenarios, self._weights_sent = None if self._weights_sent else self._scenario_weights, True
        if not self.env_runner_group.num_remote_env_runners():
            self._sync_weights()
            return NewWeights(None, scenarios)
        return NewWeights(self.on_learner(AgentLearner.acting_weights), scenarios)

    def _sample_with(self, weights: NewWeights) -> Sampled:
        """Return a fragment that is sampled with these weights; in a thread of its own."""
        with self.watch.waiting():
            chunks, results = self._request_with(weights)
        learner = self.learner_group._learner  # None if it is in another process, which collects the steps itself
        return Sampled(chunks, results, None if learner is None else learner.collect(in_order(chunks)))

    def _request_with(self, weights: NewWeights) -> Fragment:
        """Send the weights and request a fragment, in one call of each env runner."""
        group = self.env_runner_group
        if weights.network is None:
            if weights.scenarios is not None:
                self.env_runner.set_scenario_weights(weights.scenarios)
            return self._sample_all()
        network = {name: value.numpy() for name, value in weights.network.on_host().items()}
        state = ray.put({COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: network}})
        call = partial(_sample_with, state=state, scenarios=weights.scenarios)
        answers = group.foreach_env_runner(call, local_env_runner=False)
        return [chunk for chunks, _ in answers for chunk in chunks], [result for _, result in answers]

    def _take_in_sampled(self, sampled: Sampled) -> int:
        """Store and count what was sampled in the background; return its env steps."""
        if sampled.steps is None:
            return self._take_in(sampled.chunks, sampled.results)
        self._steps_held = self.on_learner(methodcaller("insert", sampled.steps))
        return self._count_sampled(sampled.chunks, sampled.results)

    def _sampled(self) -> Sampled:
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


def _sample_with(
    runner: AgentEnvRunner, state: ray.ObjectRef, scenarios: Mapping[str, float] | None
) -> tuple[list[SingleAgentEpisode], Any]:
    """Set weights, then sample; return episode chunks and RLlib's metrics."""
    runner.set_state(ray.get(state))
    if scenarios is not None:
        runner.set_scenario_weights(scenarios)
    return runner.sample(), runner.get_metrics()


def _save_replay(learner: AgentLearner, folder: Path) -> None:
    file.save(learner.replay, folder)


def _load_replay(learner: AgentLearner, folder: Path) -> int:
    file.load(learner.replay, folder)
    return len(learner.replay)


def _recorded_steps(learner: AgentLearner, most: int) -> RecordedSteps:
    return learner.replay.newest(most)


def _reseed_replay(learner: AgentLearner, number: int) -> None:
    learner.replay.reseed(learner.config.seed, number)
