"""Episodes of the baselines, in the raw environment."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import make_baseline, options_of
from dreamer_exp.envs.contract import Fault
from dreamer_exp.envs.episode import FAULT
from dreamer_exp.envs.make import make_raw_env
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.generators import SeparateGenerators
from dreamer_exp.evaluation.rollout import Finished, Row, Watch, begin_row
from dreamer_exp.threads import one_thread


def driven_by(experiment: Experiment, name: str) -> Experiment:
    """Return the experiment as a baseline drives it: with the observations that it reads, in the same episodes."""
    return replace(experiment, env=options_of(name, experiment.env))


class BaselineRollouts:
    """Rollouts of a baseline, one episode after the other, each in a new env.

    Args:
        experiment: gives the env, with the baseline's observations (`driven_by`).
        name: of the baseline.
        watch: called for each episode; None records nothing.
        render_mode: of the envs.
    """

    def __init__(
        self,
        experiment: Experiment,
        name: str,
        watch: Callable[[], Watch] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._experiment, self._name, self._watch, self._render_mode = experiment, name, watch, render_mode
        self._waiting: deque[EvaluationEpisode] = deque()
        self._running: Row | None = None
        self._generators = SeparateGenerators()

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        """Begin these episodes and step, as `Rollouts.advance`."""
        self._waiting.extend(episodes)
        deadline = time.monotonic() + seconds
        with one_thread(), self._generators.installed():
            while (self._running or self._waiting) and time.monotonic() < deadline:
                if self._running is None:
                    self._begin(self._waiting.popleft())
                elif (finished := self._step(self._running)) is not None:
                    self._running = None
                    return [finished]
        return []

    def close(self) -> None:
        """Close the env of the running episode."""
        if self._running is not None:
            self._running.env.close()
        self._running = None

    def _begin(self, episode: EvaluationEpisode) -> None:
        env = self._experiment.env
        make = partial(make_raw_env, env, self._render_mode)
        row, self._observation = begin_row(self._experiment, episode, make, self._watch and self._watch())
        self._running = row
        self._baseline = make_baseline(self._name, env, row.env, episode.seed)
        self._baseline.reset()
        if row.watch is not None:
            row.watch(row.env)

    def _step(self, row: Row) -> Finished | None:
        """Step the running episode once; return it if it ended."""
        action = self._baseline.act(self._observation)
        try:
            self._observation, reward, terminated, truncated, info = row.env.step(action)
        except Fault:
            reward, terminated, truncated, info = 0.0, False, True, {"outcome": FAULT}
        row.total += float(reward)
        row.length += 1
        row.recorder.step()
        if row.watch is not None:
            row.watch(row.env)
        return row.finish(info) if terminated or truncated else None
