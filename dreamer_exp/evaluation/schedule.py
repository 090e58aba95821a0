"""The evaluations of a run: when they are due, what they write, and which one is the best so far."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from dreamer_exp.algorithms.protocol import Algorithm
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.workers.base import OpenWorkers, this_process
from dreamer_exp.evaluation.workers.env_runners import env_runners
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.episode_progress import EpisodeProgress
from dreamer_exp.monitoring.record import Record
from dreamer_exp.monitoring.summary import score
from dreamer_exp.planning.protocol import evaluated
from dreamer_exp.rundir.metric_names import LEARNER
from dreamer_exp.rundir.status import EVALUATING

Print = Callable[[str], None]


class EvaluationSchedule:
    """Evaluations of one run in the episodes of its protocol, by its env runners or, without any, the main process.

    Args:
        experiment: the resolved experiment.
        counters: the run's totals; they decide when an evaluation is due.
        record: where the rows are written.
        show_progress: shows how far an evaluation is.
        print_line: prints a line that stays on the terminal.
    """

    def __init__(
        self, experiment: Experiment, counters: Counters, record: Record, show_progress: Print, print_line: Print
    ) -> None:
        self._experiment, self._counters, self._record = evaluated(experiment), counters, record
        self._show_progress, self._print_line = show_progress, print_line
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

    def evaluate(self, algorithm: Algorithm, stop: Callable[[], bool]) -> bool:
        """Evaluate the present policy, at most once at each env step; return whether it is the best trained one.

        Raises:
            Stopped: `stop` returned True.
        """
        steps = self._counters.env_steps
        if not self._experiment.evaluation.episodes or stop() or (steps and steps == self._last):
            return False
        self._record.enter(EVALUATING)
        policy_maker = spec_of(self._experiment.algo).load().policy_maker
        with self._training_envs_closed(algorithm):
            finished = evaluate_policy(
                self._experiment,
                policy_maker(algorithm.module_to_evaluate()),
                should_stop=stop,
                on_finished=self._progress(f"evaluating the policy after {steps:,} steps"),
                workers=workers_of(algorithm),
            )
        reached = score(self._write(LEARNER, [each.result for each in finished]))
        self._last = steps
        if not steps or (self._best is not None and reached <= self._best):
            return False
        self._best = reached
        return True

    def evaluate_baselines(self, algorithm: Algorithm, stop: Callable[[], bool]) -> None:
        """Evaluate the baselines on the same seeds.

        Raises:
            Stopped: `stop` returned True.
        """
        evaluation, env = self._experiment.evaluation, self._experiment.env
        if not evaluation.episodes or not evaluation.baselines:
            return
        with self._training_envs_closed(algorithm):
            possible, impossible = split_applicable(evaluation.baselines, env)
            if impossible:
                self._print_line(f"not for env={env.name}: baseline {', '.join(impossible)}")
            for name in possible:
                self._evaluate_baseline(name, algorithm, stop)

    def _evaluate_baseline(self, name: str, algorithm: Algorithm, stop: Callable[[], bool]) -> None:
        self._record.enter(EVALUATING)
        progress = self._progress(f"evaluating the baseline {name}")
        results = evaluate_baseline(
            self._experiment, name, should_stop=stop, on_finished=progress, workers=workers_of(algorithm)
        )
        self._write(name, results)

    @contextmanager
    def _training_envs_closed(self, algorithm: Algorithm) -> Iterator[None]:
        """Under evaluation.max_parallel_envs=1, cut the running episodes and close their environments in the block."""
        if self._experiment.evaluation.max_parallel_envs != 1:
            yield
            return
        self._counters.episodes_cut += algorithm.reset_episodes(self._counters.env_steps)
        algorithm.close_envs()
        yield
        algorithm.make_envs()

    def _progress(self, what: str) -> EpisodeProgress:
        return EpisodeProgress(what, len(episode_list(self._experiment).episodes), self._show_progress)

    def _write(self, policy: str, results: list[EpisodeResult]) -> dict[str, Any]:
        """Record the row of an evaluation and return it."""
        driven = episode_list(self._experiment)
        row = evaluation_row(policy, self._counters.env_steps, self._counters.updates, results, driven)
        self._record.evaluation(row)
        return row


def workers_of(algorithm: Algorithm) -> OpenWorkers:
    """Return the algorithm's env runners as workers, or this process if it has none."""
    actors = algorithm.env_runner_actors()
    return partial(env_runners, actors=actors) if actors else this_process
