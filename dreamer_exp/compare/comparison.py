"""Runs -> Comparison: grouped, summarised, set against each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dreamer_exp.compare import metric as metrics
from dreamer_exp.compare.difference import differences
from dreamer_exp.compare.findings import cautions, verdict
from dreamer_exp.compare.group import ASIDE, group
from dreamer_exp.compare.model import Comparison, Run
from dreamer_exp.compare.outcome import Outcome, counted, outcome
from dreamer_exp.compare.pairs import of_one_task, pairs_of
from dreamer_exp.compare.statistics import interquartile_mean
from dreamer_exp.compare.summary import ranked, summarise


@dataclass(frozen=True)
class ComparisonRequest:
    """What is asked of the runs."""

    metric: str | None = None  # None: the success rate, or what comes nearest
    at: str = "env_steps"  # or "wall"
    by: str | None = None  # a key of config; None: groups are equal but for their seed
    threshold: float | None = None  # None: the middle one of the groups' final values


def compare(runs: Sequence[Run], question: ComparisonRequest, faults: Iterable[str] = ()) -> Comparison:
    """The comparison of these runs.

    Args:
        runs: as read.
        question: what is asked.
        faults: what was found on the way to them, a line each.

    Raises:
        UserError: the question names a metric or a key that none of the runs has.
    """
    metric = metrics.resolve(question.metric, runs)
    grouping = group(runs, question.by)
    outcomes = [counted([outcome(run, metric) for run in one.runs]) for one in grouping.groups]
    threshold = _threshold(outcomes) if question.threshold is None else question.threshold
    statistics = [summarise(one, told, metric, threshold) for one, told in zip(grouping.groups, outcomes, strict=True)]
    lower = metrics.lower_is_better(metric)
    places = [place for place in ranked(statistics, lower) if outcomes[place]]
    rivals = of_one_task(grouping, places)
    pairs = [pairs_of(grouping, outcomes, those, lower) for those in rivals]
    # in words: the best group of each task against each other one
    verdicts = [verdict(pair) for those, found in zip(rivals, pairs, strict=True) for pair in found[: len(those) - 1]]
    return Comparison(
        metric=metric,
        at=question.at,
        runs=tuple(runs),
        groups=grouping.groups,
        differing=grouping.differing,
        findings=(*verdicts, *cautions(grouping, outcomes, metric, len(verdicts))),
        faults=(*faults, *(f"{run.name}: {fault}" for run in runs for fault in run.faults)),
        statistics=tuple(statistics),
        differences=differences(runs, [*grouping.differing, *grouping.rest, *ASIDE]),
        pairs=tuple(pair for found in pairs for pair in found),
        by=question.by,
        rest=grouping.rest,
        threshold=None if np.isnan(threshold) else threshold,
        lower_is_better=lower,
    )


def _threshold(outcomes: Sequence[list[Outcome]]) -> float:
    """The middle one of the groups' final values: half of the groups get there; NaN without any."""
    finals = sorted(_iqm(told) for told in outcomes if told)
    return finals[(len(finals) - 1) // 2] if finals else float("nan")


def _iqm(told: list[Outcome]) -> float:
    return interquartile_mean(np.array([one.final for one in told]))
