"""Algorithms at the same cost: their values at equal env steps and at equal time, and the cost of a level."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dreamer_exp.compare.findings import compare_pairs, verdict
from dreamer_exp.compare.group import ALGORITHM, Grouping, strata
from dreamer_exp.compare.metrics import Outcome, only_at_end, ranked, series, time_to
from dreamer_exp.compare.model import Budget, Interval, Pair
from dreamer_exp.compare.statistics import interquartile_mean, iqm_interval
from dreamer_exp.formatting import count, duration

AXES = {"env_steps": "env_steps", "wall": "wall_s"}  # axis: name in compare.json
ROUNDING = 1e-9  # relative


def compare_budgets(
    grouping: Grouping,
    outcomes: Sequence[list[Outcome]],
    tasks: Sequence[Sequence[int]],
    metric: str,
    lower_is_better: bool,
) -> list[Budget]:
    """Return a budget of env steps and one of time for each task whose groups are of several algorithms.

    A budget is what the shortest of the runs that count used: each run has its last value until then.

    Args:
        grouping: the groups.
        outcomes: of the runs that count, one list per group.
        tasks: places of the groups that are compared with each other.
        metric: as in `metrics.series`.
        lower_is_better: whether the smaller of two values is better.
    """
    found: list[Budget | None] = []
    for places in tasks:
        names = {repr(grouping.groups[place].runs[0].config.get(ALGORITHM)) for place in places}
        if len(names) > 1:
            found += [_budget(grouping, outcomes, places, metric, at, lower_is_better) for at in AXES]
    return [budget for budget in found if budget is not None]


def describe_budget(budget: Budget) -> Iterator[str]:
    """Yield the decided pairs of the best group, then the groups without a value and why they have none."""
    amount = amount_text(budget.at, budget.value)
    for pair in budget.pairs[: len(budget.groups) - 1]:
        if pair.decided:
            yield f"At {amount} each: {verdict(pair)}"
    for one in budget.without:
        until = f"At {amount} each, the end of {budget.shortest}'s shortest run"
        yield f"{until}, {one['label']} has no value: {_why(one, budget.at)}"


def best_against(budget: Budget, label: str) -> Pair | None:
    """Return the pair of the best group and this one, as the probability that the best one is better; None for itself.

    A group with the best interquartile mean may win less often than the other.
    """
    best = budget.groups[0]["label"]
    for pair in budget.pairs:
        if {pair.better, pair.other} == {best, label}:
            return pair if pair.better == best else _reversed(pair)
    return None


def cost_of_level(outcomes: Sequence[Outcome], metric: str, level: float) -> dict[str, dict[str, Any]]:
    """Return the interquartile means of the first times at a level, with 95 % intervals, in env steps and seconds.

    They are NaN where not all runs reached it, and where the only evaluation is at the end: they would be the
    length of the runs.
    """
    return {name: _cost(outcomes, metric, at, level) for at, name in AXES.items()}


def amount_text(at: str, value: float) -> str:
    """Return a budget as text."""
    return f"{count(value)} env steps" if at == "env_steps" else duration(value)


def _cost(outcomes: Sequence[Outcome], metric: str, at: str, level: float) -> dict[str, Any]:
    times = np.array([time_to(one.run, metric, at, level) for one in outcomes])
    reached = int(np.isfinite(times).sum())
    if reached < len(times) or not reached or only_at_end(list(outcomes), metric):
        return {"reached": reached, "of": len(times), "iqm": math.nan, "low": math.nan, "high": math.nan}
    interval = iqm_interval(times, strata([one.run for one in outcomes]))
    return {
        "reached": reached, "of": len(times), "iqm": interval.estimate, "low": interval.low, "high": interval.high,
    }  # fmt: skip


def _budget(  # noqa: PLR0917
    grouping: Grouping,
    outcomes: Sequence[list[Outcome]],
    places: Sequence[int],
    metric: str,
    at: str,
    lower_is_better: bool,
) -> Budget | None:
    """Return a budget; None if no run has env steps or times."""
    used = [(_used(one, at), place) for place in places for one in outcomes[place] if _used(one, at) > 0]
    if not used:
        return None
    value, shortest = min(used)
    then = list(outcomes)
    for place in places:
        then[place] = [replace(one, final=_value_at(one, metric, at, value)) for one in outcomes[place]]
    missing = {place: [one for one in then[place] if math.isnan(one.final)] for place in places}
    trees = {place: _figures(grouping.groups[place].label, then[place]) for place in places if not missing[place]}
    order = ranked([{"final": tree} for tree in trees.values()], lower_is_better)
    ordered = [list(trees)[position] for position in order]
    return Budget(
        at=at,
        value=value,
        shortest=grouping.groups[shortest].label,
        groups=tuple(trees[place] for place in ordered),
        pairs=tuple(compare_pairs(grouping, then, ordered, lower_is_better)),
        without=tuple(
            {
                "label": grouping.groups[place].label,
                "missing": len(missing[place]),
                "of": len(then[place]),
                "first": max(_first_value(one, metric, at) for one in missing[place]),
            }
            for place in places
            if missing[place]
        ),
    )


def _used(one: Outcome, at: str) -> float:
    """Return the env steps or seconds of a run; 0 if they are not known."""
    return one.env_steps if at == "env_steps" else one.wall_s


def _reversed(pair: Pair) -> Pair:
    p = pair.probability
    probability = Interval(1.0 - p.estimate, 1.0 - p.high, 1.0 - p.low)
    return replace(
        pair,
        better=pair.other,
        other=pair.better,
        probability=probability,
        runs=pair.runs[::-1],
        out_of=pair.out_of[::-1],
    )


def _first_value(one: Outcome, metric: str, at: str) -> float:
    """Return when a run had its first value after training began; infinite without one."""
    x, _ = series(one.run, metric, at)
    return float(x[x > 0][0]) if (x > 0).any() else math.inf


def _why(one: dict[str, Any], at: str) -> str:
    """Return why a group has no value at a budget."""
    runs = f"{one['missing']} of {one['of']} runs"
    if math.isinf(one["first"]):
        return f"{runs} have no {'env steps' if at == 'env_steps' else 'times'}"
    return (
        f"{runs} have their first one later ({amount_text(at, one['first'])}); evaluate more often "
        "(evaluation.every_env_steps)"
    )


def _value_at(one: Outcome, metric: str, at: str, value: float) -> float:
    """Return a run's last value until a budget is used up, after training began; NaN without one."""
    x, values = series(one.run, metric, at)
    until = values[(x > 0) & (x <= value * (1 + ROUNDING))]
    return float(until[-1]) if len(until) else math.nan


def _figures(label: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    values = np.array([one.final for one in outcomes])
    interval = iqm_interval(values, strata([one.run for one in outcomes]))
    return {
        "label": label, "iqm": interquartile_mean(values), "low": interval.low, "high": interval.high,
        "values": values.tolist(),
    }  # fmt: skip
