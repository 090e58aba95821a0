"""A run's own evaluations: when the policy is examined on the fixed seeds, beside which baselines; the best so far."""

from collections.abc import Callable, Iterable
from typing import Any

from dreamer_exp.algorithms.policy import make_policy
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.rollout import evaluate_baseline, evaluate_policy, evaluation_row, evaluation_seeds
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.record import Record
from dreamer_exp.monitoring.summary import score
from dreamer_exp.rundir.metric_names import LEARNER

Say = Callable[[str], None]


class EvaluationSchedule:
    """Examines the policy when that is due, and knows the best score so far."""

    def __init__(self, experiment: Experiment, counters: Counters, record: Record, say: Say, say_line: Say) -> None:
        self._experiment, self._counters, self._record = experiment, counters, record
        self._say, self._say_line = say, say_line
        self._best: tuple[float, ...] | None = None
        self._last = 0  # env steps at the last examination

    def take_up(self, rows: Iterable[dict[str, Any]]) -> None:
        """Goes on from the policy's rows of evaluation.jsonl."""
        kept = list(rows)
        self._best = max((score(row) for row in kept if row["env_steps"]), default=None)
        self._last = max((row["env_steps"] for row in kept), default=0)

    def is_due(self) -> bool:
        """Whether evaluation.every_env_steps have gone by."""
        every = self._experiment.evaluation.every_env_steps
        return bool(every) and self._counters.env_steps // every > self._last // every

    def examine(self, algorithm: BaseDreamerV3, stop: Callable[[], bool]) -> bool:
        """The policy as it is now, never twice at one step; whether it is the best trained one so far.

        Raises:
            Stopped: `stop` said so.
        """
        steps = self._counters.env_steps
        if not self._experiment.evaluation.episodes or stop() or (steps and steps == self._last):
            return False
        self._say(f"evaluating the policy after {steps:,} steps")
        module = algorithm.module_to_evaluate()
        results = evaluate_policy(self._experiment, lambda n, seed: make_policy(module, n, seed), stop)
        reached = score(self._write(LEARNER, results))
        self._last = steps
        if not steps or (self._best is not None and reached <= self._best):
            return False
        self._best = reached
        return True

    def examine_baselines(self, stop: Callable[[], bool]) -> None:
        """The baselines, on the same seeds; raises Stopped."""
        evaluation, env = self._experiment.evaluation, self._experiment.env
        possible, impossible = split_applicable(evaluation.baselines, env)
        if impossible and evaluation.episodes:
            self._say_line(f"not for env={env.name}: baseline {', '.join(impossible)}")
        for name in possible if evaluation.episodes else []:
            self._say(f"evaluating the baseline {name}")
            self._write(name, evaluate_baseline(self._experiment, name, stop))

    def _write(self, policy: str, results: list[EpisodeResult]) -> dict[str, Any]:
        """The evaluation's row, recorded."""
        seeds = evaluation_seeds(self._experiment)
        row = evaluation_row(policy, self._counters.env_steps, self._counters.updates, results, seeds)
        self._record.evaluation(row)
        return row
