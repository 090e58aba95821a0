"""The benchmark's tables: for the terminal, and as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dreamer_exp.benchmark.published import PUBLISHED
from dreamer_exp.benchmark.summary import worst_first
from dreamer_exp.formatting import count, number

HEADINGS = ("planner", "episodes", "success", "coll.", "ped.", "obst.", "t/o", "near", "classic", "francis")
WORST = 12
Line = tuple[str, ...]


def arm_line(name: str, summary: Mapping[str, Any]) -> Line:
    """Return the cells of an arm under HEADINGS."""
    family = summary["by_family"]
    rates = (
        summary["success"],
        summary["collisions"],
        *(summary[f"{kind}_collision_count"] for kind in ("ped", "obstacle")),
    )
    return (
        name,
        count(summary["episodes"]) + ("" if summary["complete"] else "!"),
        *(number(rate, ".3f") for rate in rates),
        number(summary["timeout_rate"], ".3f"),
        number(summary["near_misses"], ".1f"),
        *(number(family[name]["success"], ".3f") for name in ("classic", "francis2023")),
    )


def published_lines() -> list[Line]:
    """Return the cells of the published planners under HEADINGS."""
    return [
        (
            each.planner,
            "1,440",
            *(number(rate, ".3f") for rate in (each.success, each.collision, each.pedestrian, each.obstacle)),
            number(None, ""),
            number(each.near_misses, ".1f"),
            *(number(rate, ".3f") for rate in (each.classic, each.francis)),
        )
        for each in PUBLISHED
    ]


def scenario_lines(summary: Mapping[str, Any]) -> list[Line]:
    """Return name, episodes, success, pedestrian and obstacle collisions and timeouts of the scenarios, worst first."""
    names = ("success", "ped_collision_count", "obstacle_collision_count", "timeout_rate")
    return [
        (name, count(row["episodes"]), *(number(row[key], ".2f") for key in names))
        for name, row in worst_first(summary)
    ]


def main_table(title: str, arms: Sequence[Line], published: Sequence[Line]) -> Table:
    """Return the arms above the published planners."""
    table = _table(title, HEADINGS)
    for line in arms:
        table.add_row(*map(Text, line), style="bold")
    if published:
        table.add_section()
    for line in published:
        table.add_row(*map(Text, line))
    return table


def worst_table(name: str, summary: Mapping[str, Any]) -> Table:
    """Return an arm's worst scenarios."""
    lines = scenario_lines(summary)
    table = _table(f"{name}: worst {min(WORST, len(lines))} of {len(lines)} scenarios", SCENARIO_HEADINGS)
    for line in lines[:WORST]:
        table.add_row(*map(Text, line))
    return table


SCENARIO_HEADINGS = ("scenario", "episodes", "success", "ped.", "obst.", "t/o")


def markdown(headings: Sequence[str], lines: Iterable[Line]) -> str:
    """Return a Markdown table."""
    rule = ("---", *("---:" for _ in headings[1:]))
    return "".join(f"| {' | '.join(line)} |\n" for line in (tuple(headings), rule, *lines))


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
