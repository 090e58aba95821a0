"""The evaluations of a run: when they are due, what they write, and which one is the best so far."""

from collections.abc import Callable, Iterable
from typing import Any

from dreamer_exp.algorithms.policy import make_policy
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.baselines import evaluate_baseline
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.protocol import evaluated
from dreamer_exp.evaluation.rollout import evaluate_policy
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.record import Record
from dreamer_exp.monitoring.summary import score
from dreamer_exp.rundir.metric_names import LEARNER
from dreamer_exp.rundir.status import EVALUATING

Print = Callable[[str], None]


class EvaluationSchedule:
    """Evaluations of one run, in the episodes of its protocol.

    Args:
        experiment: the resolved experiment.
        counters: the run's totals; they decide when an evaluation is due.
        record: where the rows are written.
        show_status: shows what the run is doing at present.
        print_line: prints a line that stays on the terminal.
    """

    def __init__(
        self, experiment: Experiment, counters: Counters, record: Record, show_status: Print, print_line: Print
    ) -> None:
        self._experiment, self._counters, self._record = evaluated(experiment), counters, record
        self._show_status, self._print_line = show_status, print_line
        self._best: tuple[float, ...] | None = None
        self._last = 0  # env steps at the last evaluation

    def load_state(self, rows: Iterable[dict[str, Any]]) -> None:
        """Restore the best score and the last evaluation from the policy's rows of evaluation.jsonl."""
        kept = list(rows)
        self._best = max((score(row) for row in kept if row["env_steps"]), default=None)
        self._last = max((row["env_steps"] for row in kept), default=0)

    def is_due(self) -> bool:
        """Return whether the env steps passed a multiple of evaluation.every_env_steps since the last evaluation."""
        every = self._experiment.evaluation.every_env_steps
        return bool(every) and self._counters.env_steps // every > self._last // every

    def evaluate(self, algorithm: BaseDreamerV3, stop: Callable[[], bool]) -> bool:
        """Evaluate the present policy, at most once at each env step; return whether it is the best trained one.

        Raises:
            Stopped: `stop` returned True.
        """
        steps = self._counters.env_steps
        if not self._experiment.evaluation.episodes or stop() or (steps and steps == self._last):
            return False
        self._record.enter(EVALUATING)
        self._show_status(f"evaluating the policy after {steps:,} steps")
        module = algorithm.module_to_evaluate()
        results = evaluate_policy(self._experiment, lambda n, seed: make_policy(module, n, seed), stop)
        reached = score(self._write(LEARNER, results))
        self._last = steps
        if not steps or (self._best is not None and reached <= self._best):
            return False
        self._best = reached
        return True

    def evaluate_baselines(self, stop: Callable[[], bool]) -> None:
        """Evaluate the baselines on the same seeds.

        Raises:
            Stopped: `stop` returned True.
        """
        evaluation, env = self._experiment.evaluation, self._experiment.env
        possible, impossible = split_applicable(evaluation.baselines, env)
        if impossible and evaluation.episodes:
            self._print_line(f"not for env={env.name}: baseline {', '.join(impossible)}")
        for name in possible if evaluation.episodes else []:
            self._record.enter(EVALUATING)
            self._show_status(f"evaluating the baseline {name}")
            self._write(name, evaluate_baseline(self._experiment, name, stop))

    def _write(self, policy: str, results: list[EpisodeResult]) -> dict[str, Any]:
        """Record the row of an evaluation and return it."""
        driven = episode_list(self._experiment)
        row = evaluation_row(policy, self._counters.env_steps, self._counters.updates, results, driven)
        self._record.evaluation(row)
        return row
