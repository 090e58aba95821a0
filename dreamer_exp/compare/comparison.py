"""Runs -> Comparison: grouped, summarised, set against each other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dreamer_exp.compare import metric as metrics
from dreamer_exp.compare.difference import differences
from dreamer_exp.compare.findings import cautions, verdict
from dreamer_exp.compare.group import Grouping, group, value
from dreamer_exp.compare.improvement import Cells, probability, seeds_to_decide
from dreamer_exp.compare.model import Comparison, Pair, Run
from dreamer_exp.compare.outcome import Outcome, counted, outcome
from dreamer_exp.compare.statistics import interquartile_mean
from dreamer_exp.compare.summary import ranked, summarise


@dataclass(frozen=True)
class Question:
    """What is asked of the runs."""

    metric: str | None = None  # None: the success rate, or what comes nearest
    at: str = "env_steps"  # or "wall"
    by: str | None = None  # a key of config; None: groups are equal but for their seed
    threshold: float | None = None  # None: the middle one of the groups' final values


def compare(runs: Sequence[Run], question: Question, faults: Iterable[str] = ()) -> Comparison:
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
    pairs = _pairs(grouping, outcomes, places, lower)
    verdicts = [verdict(pair) for pair in pairs[: max(0, len(places) - 1)]]  # the best group against each other one
    return Comparison(
        metric=metric,
        at=question.at,
        runs=tuple(runs),
        groups=grouping.groups,
        differing=grouping.differing,
        findings=(*verdicts, *cautions(grouping, outcomes)),
        faults=(*faults, *(f"{run.name}: {fault}" for run in runs for fault in run.faults)),
        statistics=tuple(statistics),
        differences=differences(runs, [*grouping.differing, *grouping.rest]),
        pairs=tuple(pairs),
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


def _pairs(grouping: Grouping, outcomes: Sequence[list[Outcome]], places: Sequence[int], lower: bool) -> list[Pair]:
    """Every two groups, in the order given."""
    return [
        _pair(
            grouping.groups[a].label, grouping.groups[b].label, _cells(outcomes[a], outcomes[b], grouping.rest, lower)
        )
        for a, b in combinations(places, 2)
    ]


def _pair(label_a: str, label_b: str, cells: Cells) -> Pair:
    if probability(cells).estimate < 0.5:
        label_a, label_b, cells = label_b, label_a, [(b, a) for a, b in cells]
    more = seeds_to_decide(cells)
    runs = sum(len(a) for a, _ in cells), sum(len(b) for _, b in cells)
    return Pair(label_a, label_b, probability(cells), more == 0, more, runs)


def _cells(a: list[Outcome], b: list[Outcome], rest: Sequence[str], lower: bool) -> Cells:
    """Both groups' values, higher is better, by their settings of the other keys; all together where none is shared."""
    sign = -1.0 if lower else 1.0
    of_a, of_b = _by_rest(a, rest, sign), _by_rest(b, rest, sign)
    shared = [(of_a[cell], of_b[cell]) for cell in of_a if cell in of_b]
    return shared or [(np.concatenate([*of_a.values()]), np.concatenate([*of_b.values()]))]


def _by_rest(told: list[Outcome], rest: Sequence[str], sign: float) -> dict[tuple[str, ...], np.ndarray]:
    found: dict[tuple[str, ...], list[float]] = {}
    for one in told:
        found.setdefault(tuple(repr(value(one.run, key)) for key in rest), []).append(sign * one.final)
    return {cell: np.array(values) for cell, values in found.items()}
