"""The tables of figures in compare.html: each group's, and each pair's probability of improvement."""

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np

from dreamer_exp.compare.model import Comparison, Interval, Pair
from dreamer_exp.compare.page_data import known
from dreamer_exp.compare.page_tables import group_name, plural, table
from dreamer_exp.compare.told import NOTHING, duration, whole

HEAD = ("group", "runs", "final", "best", "mean of finals", "success rate", "env steps", "wall time")


def statistics(comparison: Comparison) -> str:
    """Figures by group, then the pairs of groups; a note where there are none."""
    if not comparison.statistics:
        return '<p class="note">No group has figures yet.</p>'
    number = percent if known(comparison.metric).share else figure
    level = comparison.threshold
    head = HEAD if level is None else (*HEAD, f"first at {number(level)}")
    body = [
        [group_name(comparison, index), *_group(told, number), *([] if level is None else [_first(told["threshold"])])]
        for index, told in enumerate(comparison.statistics)
    ]
    note = (
        "Final and best: interquartile mean over the runs that count, below it its 95 % stratified bootstrap "
        "interval. Success rate: the last evaluations' episodes as one binomial, with Wilson's interval. "
        "First at: env steps and wall time at which the median run first had this value or a better one, and how many "
        "runs had."
    )
    return f'{table("Statistics by group", head, body, head[1:])}<p class="note">{note}</p>{_pairs(comparison)}'


def figure(value: float) -> str:
    """Four digits; a dash for none."""
    return f"{value:.4g}" if np.isfinite(value) else NOTHING


def percent(value: float) -> str:
    """A share in percent; a dash for none."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else NOTHING


def _group(told: Mapping[str, Any], number: Callable[[float], str]) -> list[str]:
    runs, counted, success = told["runs"], told["counted"], told["success"]
    final, best = told["final"], told["best"]
    return [
        str(runs) if runs == counted else f"{counted} <small>of {runs}</small>",
        _between(final["iqm"], final["low"], final["high"], number),
        _between(best["iqm"], best["low"], best["high"], number),
        number(final["mean"]),
        _between(success["rate"], success["low"], success["high"], percent) if success else NOTHING,
        whole(told["env_steps"]),
        duration(told["wall_s"]),
    ]


def _first(threshold: Mapping[str, Any]) -> str:
    steps, seconds = threshold["env_steps"], threshold["wall_s"]
    reached = f"{steps['reached']} of {steps['of']}"
    when = f"{duration(seconds['median'])}, " if np.isfinite(seconds["median"]) else ""
    return f"{whole(steps['median'])}<br><small>{when}{reached}</small>"


def _pairs(comparison: Comparison) -> str:
    if not comparison.pairs:
        return ""
    body = [
        [escape(pair.better), escape(pair.other), _probability(pair.probability), _verdict(pair)]
        for pair in comparison.pairs
    ]
    return (
        "<h3>Probability of improvement</h3>"
        f"{table('Probability of improvement', ('better', 'other', 'P (better)', 'decided'), body, ('P (better)',))}"
        '<p class="note">P: how probably a run of the first group beats one of the second, with its 95 % interval.</p>'
    )


def _verdict(pair: Pair) -> str:
    if pair.decided:
        return '<span class="state finished">yes</span>'
    return (
        "no"
        if pair.more_seeds is None
        else f"no <small>(at least {plural(pair.more_seeds, 'more seed')} of each would)</small>"
    )


def _probability(interval: Interval) -> str:
    return _between(interval.estimate, interval.low, interval.high, lambda value: f"{value:.2f}")


def _between(estimate: float, low: float, high: float, number: Callable[[float], str]) -> str:
    told = f"<br><small>{number(low)} to {number(high)}</small>" if np.isfinite(low) else ""
    return f"{number(estimate)}{told}"
