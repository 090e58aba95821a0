"""`sweep.stop`: which job of a sweep is stopped early because its evaluations are worse than those of the others.

Each job is compared with the others by its watching process (watch.py), which reads their evaluation.jsonl. No process
has to know of all jobs, so that grids and searches, and all launchers, work alike.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import SweepConfig
from dreamer_exp.planning.work import planned_iterations, work_to_come
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import is_trained, score
from dreamer_exp.rundir.reader import read_evaluations, read_tree
from dreamer_exp.sweeps.records import job_directories

NONE, MEDIAN, ASHA = "none", "median", "asha"
EVERY_S = 1.0  # time between two looks at the evaluations
MOST_SHOWN = 6  # rungs
LEAST_OTHERS = 2  # jobs that have reached a rung before the median of them decides

Score = tuple[float, ...]
Scores = Sequence[tuple[int, Score]]
"""Env steps and score of each evaluation of a job after training began, in their order."""


@dataclass(frozen=True)
class StopRule:
    """`sweep.stop` and its settings for one job.

    Attributes:
        kind: MEDIAN or ASHA.
        rungs: env steps at which jobs are compared, ascending.
        reduction: ASHA keeps one of so many jobs at each rung.
    """

    kind: str
    rungs: tuple[int, ...]
    reduction: int

    @classmethod
    def of(cls, sweep: SweepConfig, experiment: Experiment) -> "StopRule | None":
        """Return the rule of a job; None under `sweep.stop=none`.

        Raises:
            UserError: the job has no evaluations during training, or ends before the first rung.
        """
        if sweep.stop == NONE:
            return None
        every, steps = experiment.evaluation.every_env_steps, work_to_come(experiment).env_steps
        if not every or not experiment.evaluation.episodes:
            raise UserError(
                f"sweep.stop={sweep.stop} compares evaluations during training: set evaluation.every_env_steps, and "
                "evaluation.episodes above 0."
            )
        if any(rung < 1 for rung in sweep.stop_rungs):
            raise UserError(f"sweep.stop_rungs={list(sweep.stop_rungs)}: each is a number of env steps, at least 1.")
        rungs = tuple(sorted(sweep.stop_rungs) or _rungs(sweep, sweep.stop_grace or every, every, steps))
        if not rungs or rungs[0] > steps:
            key = "stop_rungs" if sweep.stop_rungs else "stop_grace"
            raise UserError(
                f"sweep.{key}: the first rung is at {rungs[0] if rungs else sweep.stop_grace:,} env steps, after the "
                f"end of the job ({steps:,} env steps)."
            )
        return cls(sweep.stop, rungs, sweep.stop_reduction)

    def describe(self) -> str:
        """Return the rule as text, for the plan of the sweep."""
        kept = f", where one of {self.reduction} jobs continues" if self.kind == ASHA else ""
        shown = ", ".join(f"{rung:,}" for rung in self.rungs[:MOST_SHOWN])
        return f"sweep.stop={self.kind} at {shown}{', ...' if len(self.rungs) > MOST_SHOWN else ''} env steps{kept}"

    def reason(self, own: Scores, others: Sequence[Scores]) -> str | None:
        """Return why a job has to stop now, or None.

        Args:
            own: the job's evaluations so far.
            others: those of every other job that has any.
        """
        reached = [rung for rung in self.rungs if own and rung <= own[-1][0]]
        if not reached:
            return None
        rung = reached[-1]
        there = [scores for scores in others if scores and scores[-1][0] >= rung]
        return self._asha(rung, own, there) if self.kind == ASHA else self._median(rung, own, there)

    def _asha(self, rung: int, own: Scores, others: Sequence[Scores]) -> str | None:
        """Stop unless the job is among the best of those that have reached the rung so far, one of `reduction`.

        This is asynchronous successive halving (Li et al. 2020, arXiv:1810.05934), whose jobs run on instead of
        waiting. A job is compared again when others reach its last rung; what it had at earlier ones no longer counts.
        """
        better = sum(_at(rung, scores) > _at(rung, own) for scores in others)
        of, kept = len(others) + 1, math.ceil((len(others) + 1) / self.reduction)
        if better < kept:
            return None
        return f"sweep.stop=asha: number {better + 1} of {of} at {rung:,} env steps, where {kept} continue"

    def _median(self, rung: int, own: Scores, others: Sequence[Scores]) -> str | None:
        """Stop if the job's best evaluation up to the rung is below the median of the others' means up to it.

        This is the median stopping rule of Google Vizier (Golovin et al. 2017).
        """
        if len(others) < LEAST_OTHERS:
            return None
        means = sorted(_mean([value for _, value in _until(rung, scores)]) for scores in others)
        if max(value for _, value in _until(rung, own)) >= means[(len(means) - 1) // 2]:
            return None
        return f"sweep.stop=median: below the median of {len(others)} other jobs at {rung:,} env steps"


def _rungs(sweep: SweepConfig, grace: int, every: int, steps: int) -> Iterator[int]:
    """Yield the rungs of a job: grace times the powers of `reduction` for ASHA, each evaluation from grace on else."""
    rung = grace
    while rung <= steps:
        yield rung
        rung = rung * sweep.stop_reduction if sweep.stop == ASHA else rung + every


def _at(rung: int, scores: Scores) -> Score:
    """Return the score of the first evaluation at a rung or after it."""
    return next(value for env_steps, value in scores if env_steps >= rung)


def _until(rung: int, scores: Scores) -> list[tuple[int, Score]]:
    """Return the evaluations up to a rung, with the first one at it or after it."""
    before = sum(env_steps < rung for env_steps, _ in scores)
    return list(islice(scores, before + 1))


def _mean(values: Sequence[Score]) -> Score:
    return tuple(sum(column) / len(values) for column in zip(*values, strict=True))


class LoserWatch:
    """Comparison of one running job with the other jobs of its sweep.

    Args:
        rule: the rule of the job.
        root: the job's directory.
        experiment: its experiment.
    """

    def __init__(self, rule: StopRule, root: Path, experiment: Experiment) -> None:
        self._rule, self._root = rule, root
        self._iterations = planned_iterations(experiment)
        self._known: dict[Path, tuple[int, Scores]] = {}  # by file, its size when it was read
        self._last = -math.inf

    def check(self) -> str | None:
        """Return why the job has to stop, or None; the files are read at most once every EVERY_S seconds."""
        if time.monotonic() - self._last < EVERY_S:
            return None
        self._last = time.monotonic()
        roots = [root for _, root in job_directories(self._root.parent) if root != self._root]
        reason = self._rule.reason(self._scores(self._root), [self._scores(root) for root in roots])
        return None if reason is None or self._is_trained() else reason

    def _scores(self, root: Path) -> Scores:
        file = RunDirectory(root).evaluation
        try:
            size = file.stat().st_size
        except OSError:  # not there yet
            return []
        if self._known.get(file, (None, []))[0] != size:
            self._known[file] = (size, scores_of(read_evaluations(file)))
        return self._known[file][1]

    def _is_trained(self) -> bool:
        """Return whether the job has done all of its iterations: it ends by itself."""
        iteration = read_tree(RunDirectory(self._root).status).get("iteration")
        return isinstance(iteration, int) and iteration >= self._iterations


def scores_of(rows: Sequence[Mapping[str, Any]]) -> Scores:
    """Return env steps and score of the trained policy's evaluations after training began."""
    return [(row["env_steps"], score(row)) for row in rows if is_trained(row) and row.get("env_steps")]
