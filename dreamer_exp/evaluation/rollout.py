"""Episodes of the deterministic policy, several at once in one process."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.boundary import hinting
from dreamer_exp.envs.episode import EpisodeResult, result_of
from dreamer_exp.envs.make import make_guarded_env
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.generators import SeparateGenerators, seed_all
from dreamer_exp.evaluation.recorder import EpisodeRecorder
from dreamer_exp.threads import one_thread


class Stopped(Exception):
    """An interrupted evaluation."""


class BatchPolicy(Protocol):
    """A policy of ROWS episodes that begin at different times (algorithms/policy.py)."""

    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row, with the noise of this seed."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions for observations (ROWS, O)."""


MakePolicy = Callable[[int], BatchPolicy]
"""Builds a policy for a number of rows."""


class Watch(Protocol):
    """A recording of one episode, which other processes send to the main one."""

    def __call__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Record; called after the reset and after each step."""


class Finished(NamedTuple):
    """An episode that ended."""

    episode: EvaluationEpisode
    result: EpisodeResult
    recording: Any = None
    """What `watch()` returned, after the episode's last step."""


class Rollouts(Protocol):
    """Episodes that run in one process."""

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        """Begin these episodes; step all running ones until one ends or the time is over, and return those that ended.

        Episodes that the time does not suffice for begin in the next call.
        The global generators and torch's number of threads are those of before after each call.
        """

    def close(self) -> None:
        """Close the environments of the episodes that still run."""


MakeRollouts = Callable[[], Rollouts]
"""Builds rollouts; it is sent to other processes."""


@dataclass
class Row:
    """A running episode."""

    episode: EvaluationEpisode
    env: gymnasium.Env[Any, Any]
    recorder: EpisodeRecorder
    watch: Watch | None = None
    total: float = 0.0
    length: int = 0

    def finish(self, info: dict[str, Any]) -> Finished:
        """Return the episode with its result, and close the env."""
        result = self.recorder.complete(result_of(info, self.total, self.length))
        if result.scenario is None:  # as after a fault, which ends an episode without the environment's info
            result = replace(result, scenario=self.episode.scenario)
        self.env.close()
        return Finished(self.episode, result, self.watch)


def begin_row(
    experiment: Experiment,
    episode: EvaluationEpisode,
    make_env: Callable[[], gymnasium.Env[Any, Any]],
    watch: Watch | None = None,
) -> tuple[Row, Any]:
    """Return an episode at its beginning, in a new env, and its first observation."""
    seed_all(episode.seed)
    several = experiment.evaluation.max_parallel_envs != 1
    with hinting("evaluation.max_parallel_envs=1" if several else None):
        env = make_env()
    observation, _ = episode.begin(env)
    return Row(episode, env, EpisodeRecorder(env, episode, experiment.env.max_steps), watch), observation


class PolicyRollouts:
    """Rollouts of a policy: one product for all rows at each step, and a new env for each episode.

    Args:
        experiment: gives the env and the contract.
        make_policy: called once, with ROWS.
        watch: called for each episode; None records nothing.
        render_mode: of the envs.
    """

    def __init__(
        self,
        experiment: Experiment,
        make_policy: MakePolicy,
        watch: Callable[[], Watch] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._experiment, self._watch, self._render_mode = experiment, watch, render_mode
        self._policy = make_policy(ROWS)
        self._waiting: deque[EvaluationEpisode] = deque()
        self._rows: list[Row | None] = [None] * ROWS
        self._observations = np.zeros((ROWS, 0), np.float32)
        self._generators = SeparateGenerators()

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        """Begin these episodes and step, as `Rollouts.advance`."""
        self._waiting.extend(episodes)
        finished: list[Finished] = []
        deadline = time.monotonic() + seconds
        with one_thread(), self._generators.installed():
            while (self._waiting or any(self._rows)) and not finished:
                if self._waiting:
                    self._begin(self._rows.index(None), self._waiting.popleft())
                else:
                    finished = self._step()
                if time.monotonic() >= deadline:
                    break
        return finished

    def close(self) -> None:
        """Close the envs of the running episodes."""
        for row in self._rows:
            if row is not None:
                row.env.close()
        self._rows = [None] * ROWS
        self._waiting.clear()

    def _begin(self, place: int, episode: EvaluationEpisode) -> None:
        options = self._experiment.env, self._experiment.obs_contract, self._render_mode
        make_env = partial(make_guarded_env, *options)
        row, observation = begin_row(self._experiment, episode, make_env, self._watch and self._watch())
        self._rows[place] = row
        if not self._observations.size:
            self._observations = np.zeros((ROWS, *observation.shape), np.float32)
        self._observations[place] = observation
        self._policy.begin(place, episode.seed)
        if row.watch is not None:
            row.watch(row.env)

    def _step(self) -> list[Finished]:
        """Step every running episode once; return those that ended."""
        actions = self._policy.act(self._observations)
        finished = []
        for place, row in enumerate(self._rows):
            if row is None:
                continue
            self._observations[place], reward, terminated, truncated, info = row.env.step(actions[place])
            row.total += float(reward)
            row.length += 1
            row.recorder.step()
            if row.watch is not None:
                row.watch(row.env)
            if terminated or truncated:
                finished.append(row.finish(info))
                self._rows[place] = None
        return finished
