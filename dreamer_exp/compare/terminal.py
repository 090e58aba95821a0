"""The comparison in a terminal of 100 columns: what differs first, then the groups' figures, then the answer."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dreamer_exp.compare.metric import with_unit
from dreamer_exp.compare.model import Comparison, Difference, Run
from dreamer_exp.compare.summary import ranked
from dreamer_exp.compare.told import NOTHING, duration, whole

VALUES = 6  # of a key that are shown
LINES = 30  # of a list that are shown; compare.json has all
GOOD = ("finished", "interrupted")  # states of runs that ended as they were told to


def show(console: Console, comparison: Comparison) -> None:
    """Prints everything; what is long is cut, and says so."""
    console.print(Text(_headline(comparison)))
    if comparison.differences:
        console.print(_difference_table(comparison))
    if comparison.groups:
        console.print(_value_table(comparison))
        console.print(_time_table(comparison))
    broken = [run for run in comparison.runs if run.state not in GOOD]
    _lines(console, "Runs that broke, or are still at work", [_broken(run) for run in broken])
    _lines(console, "Findings", list(comparison.findings))
    _lines(console, "Faults", list(comparison.faults))


def _headline(comparison: Comparison) -> str:
    states = Counter(run.state for run in comparison.runs)
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    better = "lower" if comparison.lower_is_better else "higher"
    runs, groups = len(comparison.runs), len(comparison.groups)
    by = f" by {comparison.by}" if comparison.by else ""
    return (
        f"{runs} {'run' if runs == 1 else 'runs'} ({told}) in {groups} {'group' if groups == 1 else 'groups'}{by}; "
        f"{with_unit(comparison.metric)}, {better} is better"
    )


def _difference_table(comparison: Comparison) -> Table:
    """A line for each key that tells runs apart in a way of its own; those that go with it are counted."""
    table = Table("differs", "values (runs)", "", box=box.SIMPLE_HEAD, pad_edge=False)
    followers = Counter((one.kind, one.goes_with) for one in comparison.differences)
    own = [one for one in comparison.differences if one.goes_with is None]
    for one in own[:LINES]:
        within = "within groups" if one.key in comparison.rest else ""
        more = followers[one.kind, one.key]
        table.add_row(
            Text(one.key), Text(_values(one)), Text(within or (f"and {more} that go with it" if more else ""))
        )
    if len(own) > LINES:
        table.add_row(f"and {len(own) - LINES} more", "compare.json has all", "")
    return table


def _values(difference: Difference) -> str:
    shown = [f"{value} ({runs})" for value, runs in difference.values[:VALUES]]
    more = len(difference.values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _value_table(comparison: Comparison) -> Table:
    """One line a group, best first: how good it is."""
    successes = any(tree["success"] for tree in comparison.statistics)
    headings = ("n", "final: IQM [95 %]", "mean", "best: mean", *(("pooled success [95 %]",) if successes else ()))
    table = _table("group", *headings)
    for tree in _ranked(comparison):
        final, success = tree["final"], tree["success"]
        n = str(tree["counted"]) if tree["counted"] == tree["runs"] else f"{tree['counted']} of {tree['runs']}"
        figures = [n, f"{number(final['iqm'])} {_interval(final)}", number(final["mean"]), number(tree["best"]["mean"])]
        table.add_row(*map(Text, (tree["label"], *figures, *([_rate(success)] if successes else []))))
    return table


def _time_table(comparison: Comparison) -> Table:
    """One line a group, best first: how soon it got to the threshold, and how long its runs were."""
    level = math.nan if comparison.threshold is None else comparison.threshold
    table = _table(
        f"time to {number(level)}", "reached", "median steps to it", "time to it", "steps in all", "time in all"
    )
    for tree in _ranked(comparison):
        steps, wall = tree["threshold"]["env_steps"], tree["threshold"]["wall_s"]
        reached = f"{steps['reached']} of {steps['of']}"
        times = [_median(steps["median"], whole), _median(wall["median"], duration)]
        table.add_row(*map(Text, (tree["label"], reached, *times, whole(tree["env_steps"]), duration(tree["wall_s"]))))
    return table


def _ranked(comparison: Comparison) -> list[dict[str, Any]]:
    return [comparison.statistics[place] for place in ranked(comparison.statistics, comparison.lower_is_better)]


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def _interval(tree: dict[str, Any]) -> str:
    """The bounds, where there are two runs or more."""
    if len(tree["values"]) == 1:
        return "[one run]"
    return "" if math.isnan(tree["low"]) else f"[{number(tree['low'])}, {number(tree['high'])}]"


def _rate(success: dict[str, Any] | None) -> str:
    if success is None:
        return NOTHING
    return f"{success['rate']:.0%} [{success['low']:.0%}, {success['high']:.0%}] of {success['episodes']}"


def _median(value: float, show: Callable[[float], str]) -> str:
    return "not reached" if math.isinf(value) else show(value)


def _broken(run: Run) -> str:
    steps = run.rows["env_steps"]
    came = f"{steps[-1]:,.0f} env steps" if len(steps) else "no row"
    return f"{run.name}: {run.state}, {came}" + (f"; {run.error}" if run.error else "")


def _lines(console: Console, heading: str, lines: Sequence[str]) -> None:
    """A heading, and a line each under it."""
    if not lines:
        return
    console.print(Text(f"\n{heading}", style="bold"))
    grid = Table.grid(padding=(0, 1))
    for line in lines[:LINES]:
        grid.add_row(" -", Text(line))
    if len(lines) > LINES:
        grid.add_row(" -", f"and {len(lines) - LINES} more: compare.json has all")
    console.print(grid)


def number(value: float) -> str:
    """Three digits, and whole thousands."""
    if math.isnan(value):
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
