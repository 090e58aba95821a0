"""What RLlib algorithms of this package have in common: env runners, weights, learners and processes."""

import os
import socket
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.actor import ActorHandle
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME, WEIGHTS_SEQ_NO

from dreamer_exp.algorithms.protocol import Backend, Iteration, RecordedSteps
from dreamer_exp.algorithms.rllib.env_runner import SeededEnvRunner
from dreamer_exp.algorithms.rllib.episodes import finished
from dreamer_exp.algorithms.rllib.process_watch import ENV_RUNNER, NoAnswer, ProcessDied, ProcessWatch

Fragment = tuple[list[SingleAgentEpisode], list[Any]]  # episode chunks, and the env runners' metrics


class BaseAlgorithm(Algorithm):  # type: ignore[misc]  # RLlib is untyped
    """Part of `protocol.Algorithm` that does not depend on the learning; to be put before a class of RLlib's.

    A subclass has `training_step`, the replay, and `_remember`.
    """

    should_stop: Callable[[], bool] = staticmethod(lambda: False)
    last_iteration: Iteration
    watch: ProcessWatch  # of Ray and the env runners

    def setup(self, config: AlgorithmConfig) -> None:
        """Build RLlib's algorithm, without sampling yet."""
        self.watch = ProcessWatch()
        super().setup(config)
        self.updates_owed = 0.0
        self._scenario_weights: dict[str, float] = {}
        self._weights_sent = True
        self.last_iteration = Iteration()

    @property
    def backend(self) -> Backend | None:
        """None: there is no choice of backends."""
        return None

    def recorded_steps(self, most: int) -> RecordedSteps:
        """Raise NotImplementedError: these steps check a world model, and only an algorithm with one overrides this."""
        raise NotImplementedError(f"{type(self).__name__} has no world model.")

    def processes(self) -> list[tuple[int, str]]:
        """Return number and name of each env runner and learner that is a process of its own on this host."""
        runners = self.env_runner_group.foreach_env_runner(
            lambda runner: (socket.gethostname(), os.getpid(), f"{ENV_RUNNER} {runner.worker_index}"),
            local_env_runner=False,
        )
        learners = (
            []
            if self.learner_group.is_local
            else self.learner_group.foreach_learner(lambda learner: (socket.gethostname(), os.getpid(), "a learner"))
        )
        found = [*runners, *(result.get() for result in learners)]
        return [(pid, name) for host, pid, name in found if host == socket.gethostname()]

    def give_up_env_runners(self) -> None:
        """Call no env runner of another process any more: Ray or one of them has died, or does not answer."""
        for index in self.env_runner_group._worker_manager.actor_ids():
            self.env_runner_group._worker_manager.set_actor_state(index, healthy=False)

    def _setup_logdir(self) -> None:
        """Make no folder in ~/ray_results: RLlib writes nothing into it here."""
        self._logdir = tempfile.gettempdir()

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
        return sum(self._on_env_runners(partial(SeededEnvRunner.reset_episodes, number=number)))

    def close_envs(self) -> None:
        """Close every environment, until `make_envs`; the episodes have to be reset."""
        self._on_env_runners(SeededEnvRunner.close_envs)

    def make_envs(self) -> None:
        """Make the environments again."""
        self._on_env_runners(lambda runner: runner.make_env())
        self._weights_sent = not self._scenario_weights

    def set_scenario_weights(self, weights: Mapping[str, float]) -> None:
        """Send these weights to the env runners before the next request of a fragment."""
        self._scenario_weights, self._weights_sent = dict(weights), False

    def _on_env_runners(self, call: Callable[[Any], Any]) -> list[Any]:
        """Call a function with each env runner, in its process; return the results."""
        with self.watch.waiting() if self.env_runner_actors() else nullcontext():
            results: list[Any] = self.env_runner_group.foreach_env_runner(call)
        return results

    def init_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set these weights in every learner, and send them to the env runners."""
        results = self.learner_group.foreach_learner(partial(_set_weights, weights=weights))
        for error in (value for value in (result.get() for result in results) if isinstance(value, Exception)):
            raise error
        self._sync_weights(timeout_s=None)

    def on_learner(self, call: Callable[[Any], Any]) -> Any:
        """Call a function with the first learner, in its process, and return the result."""
        with nullcontext() if self.learner_group.is_local else self.watch.waiting(patient=True):
            result = next(iter(self.learner_group.foreach_learner(call))).get()
        if isinstance(result, Exception):
            raise result
        return result

    def _sample_fragment(self) -> int:
        self._send_scenario_weights()
        return self._take_in(*self._request_fragment())

    def _send_scenario_weights(self) -> None:
        """Set the weights in every env runner, while none samples, so that timing does not decide where they hold."""
        if not self._weights_sent:
            self._on_env_runners(partial(SeededEnvRunner.set_scenario_weights, weights=self._scenario_weights))
            self._weights_sent = True

    def _request_fragment(self) -> Fragment:
        """Return a fragment of every environment: episode chunks, and the metrics of the env runners."""
        if not self.env_runner_group.num_remote_env_runners():
            return self._sample_all()
        with self.watch.waiting():
            return self._sample_all()

    def _sample_all(self) -> Fragment:
        chunks, results = synchronous_parallel_sample(
            worker_set=self.env_runner_group,
            max_agent_steps=self.config.rollout_fragment_length * self.config.num_envs_per_env_runner,
            sample_timeout_s=self.config.sample_timeout_s,
            _uses_new_env_runners=True,
            _return_metrics=True,
        )
        return chunks, results

    def _sync_weights(self, timeout_s: float | None = 0.0) -> None:
        """Send the learner's weights to the env runners; wait at most `timeout_s` for their arrival.

        One in this process gets them directly: RLlib would pass them through Ray's object store, whose failure ends
        the process. If Ray or an env runner has died, the iteration is still counted; the next one raises.
        """
        if not self.env_runner_group.num_remote_env_runners():
            component = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"
            state = self.learner_group.get_state(components=[component], inference_only=True)[COMPONENT_LEARNER]
            kept = (COMPONENT_RL_MODULE, WEIGHTS_SEQ_NO)
            self.env_runner.set_state({name: state[name] for name in kept if name in state})
            return
        self._unless_dead(
            self.env_runner_group.sync_weights,
            from_worker_or_learner_group=self.learner_group,
            timeout_seconds=timeout_s,
            inference_only=True,
        )

    def _sync_states(self) -> None:
        """Exchange the states of the connectors with the env runners, as RLlib's `step` would after `training_step`."""
        sampled = self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0)
        self._unless_dead(
            self.env_runner_group.sync_env_runner_states,
            config=self.config,
            env_steps_sampled=sampled,
            env_to_module=self.env_to_module_connector,
            module_to_env=self.module_to_env_connector,
        )

    def _unless_dead(self, call: Callable[..., object], **arguments: Any) -> None:
        """Make a call of the env runners; if one or Ray has died or none answers, call none any more."""
        try:
            with self.watch.waiting():
                call(**arguments)
        except (ProcessDied, NoAnswer, KeyboardInterrupt):  # the last if it was seen just at the end of the call
            self.give_up_env_runners()

    def _take_in(self, chunks: list[SingleAgentEpisode], results: list[Any]) -> int:
        """Store and count the sampled chunks; return their env steps."""
        self._remember(chunks)
        return self._count_sampled(chunks, results)

    def _count_sampled(self, chunks: list[SingleAgentEpisode], results: list[Any]) -> int:
        """Count the sampled chunks; return their env steps."""
        self.metrics.aggregate(results, key=ENV_RUNNER_RESULTS)
        self.last_iteration.episodes += finished(chunks)
        sampled = sum(map(len, chunks))
        self.last_iteration.env_steps += sampled
        return sampled

    @abstractmethod
    def _remember(self, chunks: list[SingleAgentEpisode]) -> None:
        """Keep sampled episode chunks for the learner."""


def _set_weights(learner: Learner, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy weights into a learner's network, then set its state, from which it builds its update again."""
    own = dict(learner.module[DEFAULT_MODULE_ID].unwrapped().named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(torch.as_tensor(value))
    learner.set_state({COMPONENT_RL_MODULE: learner.module.get_state()})
