"""From runs to a comparison: group, summarise, compare pairs, and describe the findings."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dreamer_exp.compare.budgets import compare_budgets, cost_of_level, describe_budget
from dreamer_exp.compare.differences import find_differences
from dreamer_exp.compare.findings import cautions, compare_pairs, same_task, verdict
from dreamer_exp.compare.group import NEUTRAL_KEYS, SEED, group_runs, strata
from dreamer_exp.compare.metrics import (
    Outcome,
    began_with,
    counted,
    lower_is_better,
    only_at_end,
    outcome,
    ranked,
    resolve,
    successes,
    time_to,
)
from dreamer_exp.compare.model import Comparison, ComparisonRequest, Group, Run
from dreamer_exp.compare.scenarios import scenario_rates
from dreamer_exp.compare.statistics import interquartile_mean, iqm_interval
from dreamer_exp.rundir.rates import wilson_interval


def compare(runs: Sequence[Run], request: ComparisonRequest, faults: Iterable[str] = ()) -> Comparison:
    """Compare runs.

    Args:
        runs: Runs as read.
        request: Metric, axis, grouping and threshold.
        faults: Problems of the search for runs, one line each.

    Raises:
        UserError: The request names a metric or a key that none of the runs has.
    """
    metric = resolve(request.metric, runs)
    lower = lower_is_better(metric)
    grouping = group_runs(runs, request.by)
    outcomes = [counted([outcome(run, metric) for run in group.runs]) for group in grouping.groups]
    threshold = _level(outcomes, metric) if request.threshold is None else request.threshold
    statistics = [
        summarise(group, of_group, metric, threshold) for group, of_group in zip(grouping.groups, outcomes, strict=True)
    ]
    places = [place for place in ranked(statistics, lower) if outcomes[place]]
    tasks = same_task(grouping, places)
    pairs = [compare_pairs(grouping, outcomes, task, lower) for task in tasks]
    # only the best group of each task against the others is put into words: the first pairs
    budgets = compare_budgets(grouping, outcomes, tasks, metric, lower)
    if budgets and not np.isnan(threshold):
        for place in places:
            statistics[place]["cost_of_level"] = cost_of_level(outcomes[place], metric, threshold)
    verdicts = [verdict(pair) for task, of_task in zip(tasks, pairs, strict=True) for pair in of_task[: len(task) - 1]]
    equal = [line for budget in budgets for line in describe_budget(budget)]
    total = len(verdicts) + sum(max(0, len(budget.groups) - 1) for budget in budgets)
    return Comparison(
        metric=metric,
        at=request.at,
        runs=tuple(runs),
        groups=grouping.groups,
        differing=grouping.differing,
        findings=(*verdicts, *equal, *cautions(grouping, outcomes, metric, total)),
        faults=(*faults, *(f"{run.name}: {fault}" for run in runs for fault in run.faults)),
        statistics=tuple(statistics),
        scenarios=tuple(scenario_rates([one.run for one in of_group]) for of_group in outcomes),
        differences=find_differences(runs, [*grouping.differing, *grouping.pooled, *NEUTRAL_KEYS]),
        pairs=tuple(pair for of_task in pairs for pair in of_task),
        budgets=tuple(budgets),
        by=request.by,
        pooled=grouping.pooled,
        threshold=None if np.isnan(threshold) else threshold,
        lower_is_better=lower,
    )


def summarise(group: Group, outcomes: list[Outcome], metric: str, threshold: float) -> dict[str, Any]:
    """Return a group's figures as the tree in compare.json.

    Args:
        group: The group with all of its runs.
        outcomes: Outcomes of the runs that count.
        metric: As in `metrics.series`.
        threshold: Level whose first time is reported; NaN: none.
    """
    return {
        "label": group.label,
        "settings": group.settings,
        "runs": len(group.runs),
        "counted": len(outcomes),
        "states": dict(Counter(run.state for run in group.runs)),
        "seeds": [run.config.get(SEED) for run in group.runs],
        "env_steps": _median([one.env_steps for one in outcomes]),
        "wall_s": _median([one.wall_s for one in outcomes]),
        "final": _figures(outcomes, np.array([one.final for one in outcomes])),
        "best": _figures(outcomes, np.array([one.best for one in outcomes])),
        "success": _success(outcomes),
        "threshold": {
            "value": threshold,
            "env_steps": _time_to(outcomes, metric, "env_steps", threshold),
            "wall_s": _time_to(outcomes, metric, "wall", threshold),
        },
    }


def _level(outcomes: Sequence[list[Outcome]], metric: str) -> float:
    """Return the (lower) median of the groups' final values, which half of the groups reach.

    A value that every run began with is no level: the next better final value is then returned, or NaN.
    """
    finals = sorted(interquartile_mean(np.array([one.final for one in group])) for group in outcomes if group)
    median = (len(finals) - 1) // 2
    runs = [one.run for group in outcomes for one in group]
    candidates = finals[median::-1] if lower_is_better(metric) else finals[max(median, 0) :]
    return next((level for level in candidates if not all(began_with(run, metric, level) for run in runs)), math.nan)


def _figures(outcomes: list[Outcome], values: np.ndarray) -> dict[str, Any]:
    """Return mean, and interquartile mean with its 95 % stratified bootstrap interval."""
    interval = iqm_interval(values, strata([one.run for one in outcomes]))
    mean = float(np.mean(values)) if len(values) else math.nan
    return {
        "mean": mean, "iqm": interval.estimate, "low": interval.low, "high": interval.high, "values": values.tolist(),
    }  # fmt: skip


def _success(outcomes: list[Outcome]) -> dict[str, Any] | None:
    """Return the last evaluations' episodes as one binomial, with Wilson's interval; None without success rates.

    Episodes count as independent, also those of one run; the spread between seeds is in the interval of `final`.
    """
    counts = [successes(one.run) for one in outcomes]
    won, episodes = sum(one for one, _ in counts), sum(of for _, of in counts)
    interval = wilson_interval(won, episodes)
    if interval is None:
        return None
    return {"successes": won, "episodes": episodes, "rate": won / episodes, "low": interval[0], "high": interval[1]}


def _time_to(outcomes: list[Outcome], metric: str, at: str, level: float) -> dict[str, Any]:
    """Return how many runs reached the level, and the median time.

    The median is infinite (censored) if at most half reached it, and NaN if the only evaluation is at the end, as it
    would be the runs' length.
    """
    times = [time_to(one.run, metric, at, level) for one in outcomes]
    median = math.nan if only_at_end(outcomes, metric) else _median(times)
    return {"median": median, "reached": int(np.isfinite(times).sum()), "of": len(times)}


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else math.nan
