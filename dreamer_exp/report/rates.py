"""The figures of evaluations as cells of a table, rates with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamer_exp.compare.scenarios import rates_of
from dreamer_exp.formatting import MISSING, number
from dreamer_exp.html_page import percent
from dreamer_exp.rundir.display import is_number
from dreamer_exp.rundir.rates import wilson_interval

MAX_EPISODES = 10**9
MAX_SCENARIOS = 60  # lines of a table
COLUMNS = {  # heading: figure, and its format; None for a rate, which gets an interval
    "success": ("success_rate", None),
    "pedestrian collisions": ("pedestrian_collision_rate", None),
    "wall collisions": ("wall_collision_rate", None),
    "robot collisions": ("robot_collision_rate", None),
    "timeouts": ("timeout_rate", None),
    "SPL": ("spl", ".2f"),
    "time to goal (s)": ("time_to_goal_s_mean", ".1f"),
    "gap to pedestrians (m)": ("min_clearance_m_mean", ".2f"),
    "return": ("return_mean", ".2f"),
    "steps": ("length_mean", ".0f"),
}
SELDOM = ("robot collisions",)  # shown where there were any


@dataclass(frozen=True)
class Cell:
    """Text of a cell, and the smaller text below it."""

    text: str
    below: str = ""


@dataclass(frozen=True)
class Table:
    """Evaluations, a line each; `headings` are those of the figures."""

    headings: Sequence[str]
    lines: Sequence[tuple[str, str, Sequence[Cell]]]  # policy, episodes, figures


@dataclass(frozen=True)
class Scenarios:
    """Success by scenario, the policy's worst first; `left_out` lines are not shown."""

    policies: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Cell]]]
    left_out: int


def interval_of(row: Mapping[str, Any], name: str) -> list[float] | None:
    """Return the 95 % interval of a rate over the row's episodes; None without them."""
    rate, episodes = row.get(name), row.get("episodes")
    if not is_number(rate) or not is_number(episodes) or not 0 <= rate <= 1 or not 1 <= episodes <= MAX_EPISODES:
        return None
    return wilson_interval(round(rate * int(episodes)), int(episodes))


def table_of(named: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """Return the table of evaluations; a figure that no row has is left out."""
    shown = {heading: column for heading, column in COLUMNS.items() if _is_shown(heading, [row for _, row in named])}
    lines = [
        (name, number(_number(row, "episodes"), ",.0f"), [_cell(row, *column) for column in shown.values()])
        for name, row in named
    ]
    return Table(list(shown), lines)


def scenarios_of(named: Sequence[tuple[str, Mapping[str, Any]]]) -> Scenarios | None:
    """Return success by scenario of these evaluations, the policy's first; None with fewer than two scenarios."""
    by_policy = {name: rates_of([row]) for name, row in named if row.get("scenario_counts")}
    names = list(dict.fromkeys(scenario for rates in by_policy.values() for scenario in rates))
    if len(names) < 2:
        return None
    lines = [(name, [_rate_cell(rates.get(name)) for rates in by_policy.values()]) for name in names]
    return Scenarios(list(by_policy), lines[:MAX_SCENARIOS], len(lines[MAX_SCENARIOS:]))


def _is_shown(heading: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    values = [_number(row, COLUMNS[heading][0]) for row in rows]
    if heading == "steps" and any(_number(row, "success_rate") is not None for row in rows):
        return False  # the time to the goal is shown
    return any(values) if heading in SELDOM else any(value is not None for value in values)


def _cell(row: Mapping[str, Any], name: str, spec: str | None) -> Cell:
    value = _number(row, name)
    if spec is not None or value is None:
        return Cell(number(value, spec or ""))
    return Cell(percent(value), _range(interval_of(row, name)))


def _rate_cell(rate: Mapping[str, Any] | None) -> Cell:
    if rate is None:
        return Cell(MISSING)
    return Cell(f"{rate['successes']} of {rate['episodes']}", _range([rate["low"], rate["high"]]))


def _range(interval: Sequence[float] | None) -> str:
    return f"{100 * interval[0]:.1f} to {percent(interval[1])}" if interval else ""


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if is_number(value) else None
