"""Output in a terminal of 100 columns: differences first, then the groups' figures, then the findings."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dreamer_exp.compare.budgets import amount_text, best_against
from dreamer_exp.compare.metrics import ranked, with_unit
from dreamer_exp.compare.model import Budget, Comparison, Difference, Pair, Run
from dreamer_exp.compare.scenarios import worst_first
from dreamer_exp.formatting import MISSING, count, duration

VALUES = 6  # shown per key
SCENARIOS, SCENARIO_GROUPS = 12, 3  # shown in the table by scenario
LINES = 30  # shown per list; compare.json has all
ENDED = ("finished", "interrupted")  # states of runs that ended as requested


def show(console: Console, comparison: Comparison) -> None:
    """Print the comparison; long lists are cut, with a note."""
    console.print(Text(_headline(comparison)))
    if comparison.differences:
        console.print(_difference_table(comparison))
    if comparison.groups:
        console.print(_value_table(comparison))
        if comparison.budgets:
            console.print(_budget_table(comparison.budgets))
        console.print(_time_table(comparison))
    if len(worst_first(comparison.scenarios)) > 1:
        console.print(_scenario_table(comparison))
    others = [run for run in comparison.runs if run.state not in ENDED]
    _print_list(console, "Unfinished runs", [_run_line(run) for run in others])
    _print_list(console, "Findings", comparison.findings)
    _print_list(console, "Faults", comparison.faults)


def _headline(comparison: Comparison) -> str:
    states = Counter(run.state for run in comparison.runs)
    state_counts = ", ".join(f"{number} {state}" for state, number in states.most_common())
    better = "lower" if comparison.lower_is_better else "higher"
    runs, groups = len(comparison.runs), len(comparison.groups)
    by = f" by {comparison.by}" if comparison.by else ""
    return (
        f"{runs} {'run' if runs == 1 else 'runs'} ({state_counts}) in {groups} {'group' if groups == 1 else 'groups'}"
        f"{by}; {with_unit(comparison.metric)}, {better} is better"
    )


def _difference_table(comparison: Comparison) -> Table:
    """Return a table of one line for each way in which keys separate the runs; further such keys are counted."""
    table = Table("difference", "values (runs)", "", box=box.SIMPLE_HEAD, pad_edge=False)
    followers = Counter((one.kind, one.goes_with) for one in comparison.differences)
    leading = [one for one in comparison.differences if one.goes_with is None]
    for one in leading[:LINES]:
        within = "within groups" if one.key in comparison.pooled else ""
        more = followers[one.kind, one.key]
        note = within or (f"varies with {more} other {'key' if more == 1 else 'keys'}" if more else "")
        table.add_row(Text(one.key), Text(_values(one)), Text(note))
    if len(leading) > LINES:
        table.add_row(f"and {len(leading) - LINES} more", "compare.json has all", "")
    return table


def _values(difference: Difference) -> str:
    shown = [f"{value} ({runs})" for value, runs in difference.values[:VALUES]]
    more = len(difference.values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _value_table(comparison: Comparison) -> Table:
    """Return a table of the groups' values, best first."""
    has_success = any(tree["success"] for tree in comparison.statistics)
    headings = ("n", "final: IQM [95 %]", "mean", "best: mean", *(("pooled success [95 %]",) if has_success else ()))
    table = _table("group", *headings)
    for tree in _ranked(comparison):
        final, success = tree["final"], tree["success"]
        n = str(tree["counted"]) if tree["counted"] == tree["runs"] else f"{tree['counted']} of {tree['runs']}"
        cells = [
            n,
            f"{_number(final['iqm'])} {_interval(final)}",
            _number(final["mean"]),
            _number(tree["best"]["mean"]),
        ]
        table.add_row(*map(Text, (tree["label"], *cells, *([_rate(success)] if has_success else []))))
    return table


def _budget_table(budgets: Sequence[Budget]) -> Table:
    """Return a table of the groups' values at each budget, best first, then the groups without a value."""
    table = _table("at equal cost", "group", "IQM [95 %]", "P (best is better)")
    table.columns[1].justify = "left"
    for budget in budgets:
        amounts = chain([f"after {amount_text(budget.at, budget.value)}"], repeat(""))
        for tree in budget.groups:
            pair = best_against(budget, tree["label"])
            value = f"{_number(tree['iqm'])} {_interval(tree)}"
            table.add_row(*map(Text, (next(amounts), tree["label"], value, _chance(pair) if pair else "best")))
        for one in budget.without:
            table.add_row(*map(Text, (next(amounts), one["label"], "no value", MISSING)))
    return table


def _chance(pair: Pair) -> str:
    p = pair.probability
    return f"{p.estimate:.2f} [{p.low:.2f}, {p.high:.2f}]{'' if pair.decided else ', not decided'}"


def _time_table(comparison: Comparison) -> Table:
    """Return a table of the groups' times to the threshold, if any, and of their lengths, best final value first.

    Of several algorithms, the times are interquartile means with their intervals where all runs reached it.
    """
    level, lengths = comparison.threshold, ("steps per run", "time per run")
    if level is None:
        table = _table("group", *lengths)
    else:
        times = ("steps: IQM [95 %]", "time: IQM [95 %]") if comparison.budgets else ("median steps", "median time")
        table = _table(f"time to {_number(level)}", "reached", *times, *lengths)
    for tree in _ranked(comparison):
        spent = () if level is None else _spent(tree)
        table.add_row(*map(Text, (tree["label"], *spent, count(tree["env_steps"]), duration(tree["wall_s"]))))
    return table


def _spent(tree: dict[str, Any]) -> tuple[str, str, str]:
    """Return how many of a group's runs reached the threshold, and their env steps and time."""
    steps, wall = tree["threshold"]["env_steps"], tree["threshold"]["wall_s"]
    costs = tree.get("cost_of_level", {})
    spent = _cost(costs.get("env_steps"), steps, count), _cost(costs.get("wall_s"), wall, duration)
    return f"{steps['reached']} of {steps['of']}", *spent


def _scenario_table(comparison: Comparison) -> Table:
    """Return a table of success by scenario for the best groups, the scenario with the fewest successes first."""
    places = ranked(comparison.statistics, comparison.lower_is_better)[:SCENARIO_GROUPS]
    names = worst_first(comparison.scenarios)
    table = _table("success by scenario", *(comparison.groups[place].label for place in places))
    for name in names[:SCENARIOS]:
        rates = [comparison.scenarios[place].get(name) for place in places]
        table.add_row(*map(Text, (name, *(MISSING if one is None else _rate(one) for one in rates))))
    if len(names) > SCENARIOS:
        table.add_row(f"and {len(names) - SCENARIOS} more", "compare.json has all")
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
    if len(tree["values"]) == 1:
        return "[one run]"
    return "" if math.isnan(tree["low"]) else f"[{_number(tree['low'])}, {_number(tree['high'])}]"


def _rate(success: dict[str, Any] | None) -> str:
    if success is None:
        return MISSING
    return f"{success['rate']:.0%} [{success['low']:.0%}, {success['high']:.0%}] of {success['episodes']}"


def _cost(cost: dict[str, Any] | None, first: dict[str, Any], text: Callable[[float], str]) -> str:
    """Return the interquartile mean with its interval, or the median if not all runs reached the level."""
    if cost is None or math.isnan(cost["iqm"]):
        kind = "median " if cost is not None and math.isfinite(first["median"]) else ""
        return kind + _median(first["median"], text)
    return text(cost["iqm"]) + ("" if math.isnan(cost["low"]) else f" [{text(cost['low'])}, {text(cost['high'])}]")


def _median(value: float, text: Callable[[float], str]) -> str:
    return "not reached" if math.isinf(value) else text(value)


def _number(value: float) -> str:
    """Return a number with three digits, or in full from 1,000 on."""
    if math.isnan(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _run_line(run: Run) -> str:
    steps = run.rows["env_steps"]
    progress = f"{steps[-1]:,.0f} env steps" if len(steps) else "no rows"
    return f"{run.name}: {run.state}, {progress}" + (f"; {run.error}" if run.error else "")


def _print_list(console: Console, heading: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(Text(f"\n{heading}", style="bold"))
    grid = Table.grid(padding=(0, 1))
    for line in lines[:LINES]:
        grid.add_row(" -", Text(line))
    if len(lines) > LINES:
        grid.add_row(" -", f"and {len(lines) - LINES} more: compare.json has all")
    console.print(grid)
