"""The evaluations of a run: when they are due, what they write, and which one is the best so far."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.protocol import Algorithm
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import choose_baselines
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.background import BackgroundEvaluation, BackgroundEvaluations, Stop
from dreamer_exp.evaluation.dispatch import EvaluationFailed
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.rollout import MakePolicy
from dreamer_exp.evaluation.workers.base import SLICE_S, OpenWorkers, this_process
from dreamer_exp.evaluation.workers.env_runners import env_runners
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.episode_progress import EpisodeProgress
from dreamer_exp.monitoring.record import Record
from dreamer_exp.monitoring.summary import without_outcomes
from dreamer_exp.planning.protocol import evaluated
from dreamer_exp.rundir.metric_names import BASELINE, TRAINED, is_trained, score
from dreamer_exp.rundir.status import EVALUATING

Print = Callable[[str], None]

BACKGROUND_SLICE_S = 0.05  # sampling and new weights wait at most so long, or for a step of the evaluation
LOOK_S = 0.25  # time between two looks at an evaluation that is waited for


class EvaluationSchedule:
    """Evaluations of one run in the episodes of its protocol, by its env runners or, without any, the main process.

    Where sampling overlaps learning, they run in the background (`start`, `evaluate_baselines`), with a copy of the
    weights; their rows are written by `take_results`, with the iteration of these weights. No result has an influence
    on training, so that a run repeats whenever they arrive.

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
        self.rows: list[dict[str, Any]] = []  # of the policy so far, without their episodes
        self._last = 0  # env steps at the last evaluation
        self._baselines: set[str] = set()  # those that are evaluated
        self._background = BackgroundEvaluations()

    def load_state(self, rows: Iterable[dict[str, Any]]) -> None:
        """Restore what was evaluated, and the best score, from the rows of evaluation.jsonl."""
        kept = list(rows)
        self._baselines = {row["policy"] for row in kept if not is_trained(row)}
        kept = [row for row in kept if is_trained(row)]
        self.rows = [without_outcomes(row) for row in kept]
        self._best = max((score(row) for row in kept if row["env_steps"]), default=None)
        self._last = max((row["env_steps"] for row in kept), default=0)

    def is_due(self) -> bool:
        """Return whether the env steps passed a multiple of evaluation.every_env_steps since the last evaluation."""
        every = self._experiment.evaluation.every_env_steps
        return bool(every) and self._counters.env_steps // every > self._last // every

    def is_wanted(self, stop: Stop) -> bool:
        """Return whether to evaluate the present policy: at most once at each env step, and not after a stop."""
        steps = self._counters.env_steps
        return bool(self._experiment.evaluation.episodes) and not stop() and not (steps and steps == self._last)

    def in_background(self, algorithm: Algorithm) -> bool:
        """Return whether evaluations run while the algorithm learns."""
        alone = self._experiment.evaluation.max_parallel_envs == 1
        return self._experiment.hardware.overlap_sampling and not alone and bool(algorithm.env_runner_actors())

    def evaluate(self, algorithm: Algorithm, stop: Stop) -> bool:
        """Evaluate the present policy; return whether it is the best trained one.

        Raises:
            Stopped: `stop` returned True.
        """
        self._record.enter(EVALUATING)
        with self._training_envs_closed(algorithm):
            results = self._policy_results(
                stop,
                make_policy=self._policy(algorithm),
                show=self._show_progress,
                what=self._describe_policy(),
                workers=workers_of(algorithm),
            )
        self._last = self._counters.env_steps
        counters = self._counters
        return self._is_best(self._write(self._name, TRAINED, results, counters.env_steps, counters.updates))

    def start(self, algorithm: Algorithm, stop: Stop, checkpoint: Path | None) -> None:
        """Begin to evaluate a copy of the present policy in the background.

        Args:
            algorithm: has the policy and the env runners.
            stop: ends the evaluation.
            checkpoint: holds this policy.
        """
        counters, what = self._counters, self._describe_policy()
        evaluation = BackgroundEvaluation(self._name, TRAINED, counters.env_steps, counters.updates, checkpoint, what)
        run = partial(
            self._policy_results,
            make_policy=deepcopy(self._policy(algorithm)),  # the next weights are loaded into the same network
            show=evaluation.show,
            what=what,
            workers=workers_of(algorithm, BACKGROUND_SLICE_S),
        )
        self._background.start(evaluation, run, stop)
        self._last = counters.env_steps

    def evaluate_baselines(self, algorithm: Algorithm, stop: Stop) -> None:
        """Evaluate the baselines without a row on the same seeds, in the background where the policy's evaluations are.

        Raises:
            Stopped: `stop` returned True.
        """
        evaluation, env, background = self._experiment.evaluation, self._experiment.env, self.in_background(algorithm)
        missing = [name for name in evaluation.baselines if name not in self._baselines]
        is_new = not self._counters.iterations  # a resume lacks only rows that were dropped
        if not evaluation.episodes or not missing or not (is_new or background):
            return
        self._baselines.update(missing)
        with self._training_envs_closed(algorithm):
            possible, lines = choose_baselines(evaluation.baselines, env)
            for line in lines if is_new else ():
                self._print_line(line)
            for name in possible:
                if name not in missing:
                    continue
                if background:
                    self._start_baseline(name, algorithm, stop)
                else:
                    self._evaluate_baseline(name, algorithm, stop)

    def take_results(self, stop: Stop, wait_for_all: bool = False) -> Iterator[Path]:
        """Write the rows of the evaluations in the background that have ended.

        After a stop, those that have not ended are dropped, with a line for each.

        Args:
            stop: asks to stop.
            wait_for_all: wait for those that have not ended.

        Yields:
            The checkpoint of each policy that is the best one so far.
        """
        while wait_for_all and self._background.queue and not stop():
            running = self._background.queue[0]
            self._record.enter(EVALUATING)
            self._show_progress(running.progress)
            wait([running.results], LOOK_S)
            yield from self._take(self._background.take_ended(), stop)
        yield from self._take(self._background.take_all() if stop() else self._background.take_ended(), stop)

    @property
    def meanwhile(self) -> str | None:
        """Progress of the evaluation that runs in the background."""
        return self._background.queue[0].progress if self._background.queue else None

    @property
    def evaluates_policy(self) -> bool:
        """Whether an evaluation of the policy runs or waits in the background."""
        return any(each.kind == TRAINED for each in self._background.queue)

    @property
    def checkpoint_in_evaluation(self) -> Path | None:
        """Checkpoint that may become the best."""
        return next((each.checkpoint for each in self._background.queue if each.checkpoint), None)

    def _take(self, ended: Iterable[BackgroundEvaluation], stop: Stop) -> Iterator[Path]:
        for evaluation in ended:
            failure = evaluation.failure()
            if not evaluation.is_complete() and stop():
                self._print_line(f"not finished, dropped: {evaluation.progress}{f' ({failure})' if failure else ''}")
                continue
            if failure:  # the run saves what it has trained meanwhile
                raise EvaluationFailed(f"{evaluation.progress}: {failure}") from evaluation.results.exception()
            row = self._write(
                evaluation.policy,
                evaluation.kind,
                evaluation.results.result(),
                evaluation.env_steps,
                evaluation.updates,
            )
            if evaluation.kind == TRAINED and evaluation.checkpoint is not None and self._is_best(row):
                yield evaluation.checkpoint

    def _evaluate_baseline(self, name: str, algorithm: Algorithm, stop: Stop) -> None:
        self._record.enter(EVALUATING)
        results = self._baseline_results(stop, name=name, show=self._show_progress, workers=workers_of(algorithm))
        self._write(name, BASELINE, results, 0, 0)

    def _start_baseline(self, name: str, algorithm: Algorithm, stop: Stop) -> None:
        evaluation = BackgroundEvaluation(name, BASELINE, 0, 0, None, _describe_baseline(name))
        workers = workers_of(algorithm, BACKGROUND_SLICE_S)
        self._background.start(
            evaluation, partial(self._baseline_results, name=name, show=evaluation.show, workers=workers), stop
        )

    @property
    def _name(self) -> str:
        """Name of the trained policy in the rows."""
        return self._experiment.algo.name

    def _policy(self, algorithm: Algorithm) -> MakePolicy:
        make: MakePolicy = spec_of(self._experiment.algo).load().policy_maker(algorithm.module_to_evaluate())
        return make

    def _describe_policy(self) -> str:
        return f"evaluating the policy after {self._counters.env_steps:,} steps"

    def _policy_results(
        self, stop: Stop, *, make_policy: MakePolicy, show: Print, what: str, workers: OpenWorkers
    ) -> list[EpisodeResult]:
        finished = evaluate_policy(
            self._experiment, make_policy, should_stop=stop, workers=workers, **self._progress(what, show)
        )
        return [each.result for each in finished]

    def _baseline_results(self, stop: Stop, *, name: str, show: Print, workers: OpenWorkers) -> list[EpisodeResult]:
        progress = self._progress(_describe_baseline(name), show)
        return evaluate_baseline(self._experiment, name, should_stop=stop, workers=workers, **progress)

    def _is_best(self, row: dict[str, Any]) -> bool:
        """Return whether a row is the best one of the trained policy so far."""
        reached = score(row)
        if not row["env_steps"] or (self._best is not None and reached <= self._best):
            return False
        self._best = reached
        return True

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

    def _progress(self, what: str, show: Print) -> dict[str, Any]:
        """Return the options of an evaluation that show its progress."""
        progress = EpisodeProgress(what, len(episode_list(self._experiment).episodes), show)
        return {"on_finished": progress, "on_wait": progress.wait}

    def _write(
        self, policy: str, kind: str, results: list[EpisodeResult], env_steps: int, updates: int
    ) -> dict[str, Any]:
        """Record the row of an evaluation and return it."""
        row = evaluation_row(policy, kind, env_steps, updates, results, episode_list(self._experiment))
        self._record.evaluation(row)
        if is_trained(row):
            self.rows.append(without_outcomes(row))
        return row


def _describe_baseline(name: str) -> str:
    return f"evaluating the baseline {name}"


def workers_of(algorithm: Algorithm, slice_s: float = SLICE_S) -> OpenWorkers:
    """Return the algorithm's env runners as workers, or this process if it has none."""
    actors = algorithm.env_runner_actors()
    return partial(env_runners, actors=actors, slice_s=slice_s) if actors else this_process
