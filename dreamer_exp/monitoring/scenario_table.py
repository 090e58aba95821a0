"""The rates of an evaluation by scenario, in the terminal."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

MAX_ROWS = 12
RATES = {
    "success": "success",
    "ped.": "pedestrian_collision",
    "wall": "wall_collision",
    "rob.": "robot_collision",
    "t/o": "timeout",
}
"""Heading -> outcome."""


def scenario_table(row: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]] = ()) -> Table | None:
    """Return the table of an evaluation's scenarios, worst first; None with fewer than two scenarios.

    The last column is the success of the best baseline.

    Args:
        row: of the policy, from evaluation.jsonl.
        baselines: rows of the baselines in the same episodes.
    """
    rates = row.get("by_scenario") or {}
    if len(rates) < 2:
        return None
    columns = [
        heading
        for heading, outcome in RATES.items()
        if heading != "rob." or any(of_one[f"{outcome}_rate"] for of_one in rates.values())
    ]
    shown = list(rates)[:MAX_ROWS]
    left_out = "" if len(shown) == len(rates) else f"; {len(shown)} of {len(rates)}"
    table = Table(
        title=Text(f"{row['policy']} by scenario, worst first{left_out}"),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("scenario", overflow="fold")
    for heading in ("episodes", *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    best = max((one for one in baselines if one.get("by_scenario")), key=itemgetter("success_rate"), default=None)
    if best is not None:
        table.add_column(Text(f"{best['policy']}\nsuccess"), justify="right", no_wrap=True)
    for name in shown:
        of_one = rates[name]
        cells = [
            _with_interval(of_one, "success"),
            *(f"{of_one[f'{RATES[heading]}_rate']:.0%}" for heading in columns[1:]),
        ]
        if best is not None:
            cells.append(f"{best['by_scenario'][name]['success_rate']:.0%}" if name in best["by_scenario"] else "-")
        table.add_row(Text(name), str(of_one["episodes"]), *cells)
    return table


def _with_interval(rates: Mapping[str, Any], outcome: str) -> str:
    low, high = rates[f"{outcome}_interval_95"]
    return f"{rates[f'{outcome}_rate']:.0%} ({100 * low:.0f}-{100 * high:.0f})"
