"""Algorithms at the same cost: their values at equal env steps and at equal time, and the cost of a level."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dreamer_exp.compare.findings import compare_pairs, verdict
from dreamer_exp.compare.group import ALGORITHM, Grouping, strata
from dreamer_exp.compare.metrics import Outcome, ranked, series, time_to
from dreamer_exp.compare.model import Budget, Pair
from dreamer_exp.compare.statistics import interquartile_mean, iqm_interval
from dreamer_exp.formatting import count, duration, number

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
    found = []
    for places in tasks:
        names = {repr(grouping.groups[place].runs[0].config.get(ALGORITHM)) for place in places}
        if len(names) > 1:
            found += [_budget(grouping, outcomes, places, metric, at, lower_is_better) for at in AXES]
    return found


def describe_budget(budget: Budget) -> Iterator[str]:
    """Yield a budget's results in words: the values, then the best group against the others."""
    amount = amount_text(budget.at, budget.value)
    if budget.without:
        yield (
            f"At {amount} each: {', '.join(budget.without)} had no value yet; evaluate more often "
            "(evaluation.every_env_steps)"
        )
        return
    values = (f"{tree['label']} {number(tree['iqm'], '.3g')}{_interval_text(tree)}" for tree in budget.groups)
    yield f"At {amount} each: {', '.join(values)}"
    for pair in budget.pairs[: len(budget.groups) - 1]:
        yield f"At {amount} each: {verdict(pair)}"


def describe_level(labels: Sequence[str], costs: Sequence[dict[str, dict[str, Any]]], level: float) -> str:
    """Return the cost of a level in words."""
    parts = []
    for label, cost in zip(labels, costs, strict=True):
        steps, wall = cost["env_steps"], cost["wall_s"]
        if steps["reached"] < steps["of"]:
            parts.append(f"{label} reached by {steps['reached']} of {steps['of']} runs")
        else:
            interval = "" if math.isnan(steps["low"]) else f" [{count(steps['low'])}, {count(steps['high'])}]"
            parts.append(f"{label} {count(steps['iqm'])} env steps{interval}, {duration(wall['iqm'])}")
    return f"To {number(level, '.3g')}: {'; '.join(parts)}"


def cost_of_level(outcomes: Sequence[Outcome], metric: str, level: float) -> dict[str, dict[str, Any]]:
    """Return the interquartile means of the first times at a level, with 95 % intervals, in env steps and seconds.

    They are NaN where not all runs reached it.
    """
    return {name: _cost(outcomes, metric, at, level) for at, name in AXES.items()}


def amount_text(at: str, value: float) -> str:
    """Return a budget as text."""
    return f"{count(value)} env steps" if at == "env_steps" else duration(value)


def _cost(outcomes: Sequence[Outcome], metric: str, at: str, level: float) -> dict[str, Any]:
    times = np.array([time_to(one.run, metric, at, level) for one in outcomes])
    reached = int(np.isfinite(times).sum())
    if reached < len(times) or not reached:
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
) -> Budget:
    used = [one.env_steps if at == "env_steps" else one.wall_s for place in places for one in outcomes[place]]
    value = min(used)
    then = list(outcomes)
    for place in places:
        then[place] = [replace(one, final=_value_at(one, metric, at, value)) for one in outcomes[place]]
    without = [grouping.groups[place].label for place in places if any(math.isnan(one.final) for one in then[place])]
    if without:
        return Budget(at, value, (), (), tuple(without))
    trees = {place: _figures(grouping.groups[place].label, then[place]) for place in places}
    order = ranked([{"final": trees[place]} for place in places], lower_is_better)
    ordered = [places[position] for position in order]
    pairs: list[Pair] = compare_pairs(grouping, then, ordered, lower_is_better)
    return Budget(at, value, tuple(trees[place] for place in ordered), tuple(pairs), ())


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


def _interval_text(tree: dict[str, Any]) -> str:
    return "" if math.isnan(tree["low"]) else f" [{number(tree['low'], '.3g')}, {number(tree['high'], '.3g')}]"
