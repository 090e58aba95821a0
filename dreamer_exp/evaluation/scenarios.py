"""The rates of an evaluation by scenario, as CSV and as a picture of scenarios against outcomes."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamer_exp.envs.episode import COLLISIONS, SUCCESS, TIMEOUT
from dreamer_exp.formatting import csv_text, printable
from dreamer_exp.rundir.atomic import save_figure

OUTCOMES = (SUCCESS, *COLLISIONS, TIMEOUT)
MAX_NAME = 48  # characters of a scenario's name in the picture

Rates = Mapping[str, Mapping[str, Any]]
"""Scenario -> `episodes`, `<outcome>_rate` and `<outcome>_interval_95` (metrics.rates_by_scenario)."""


def scenarios_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a CSV table of all policies and scenarios: rates with the bounds of their 95 % intervals.

    Args:
        rows: rows of evaluation.jsonl.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    kinds = (*OUTCOMES, "collision")
    bounds = [name for kind in kinds for name in (f"{kind}_rate", f"{kind}_low", f"{kind}_high")]
    writer.writerow(["policy", "scenario", "episodes", *bounds])
    for row in rows:
        for name, rates in row["by_scenario"].items():
            figures = [figure for kind in kinds for figure in (rates[f"{kind}_rate"], *rates[f"{kind}_interval_95"])]
            writer.writerow([csv_text(row["policy"]), csv_text(name), rates["episodes"], *figures])
    return text.getvalue()


def draw_scenarios(path: Path, title: str, rates: Rates) -> None:
    """Draw the share of each outcome in each scenario, worst scenario first.

    Args:
        path: the PNG.
        title: its first line.
        rates: of one policy, worst first.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    outcomes = [
        kind for kind in OUTCOMES if kind == SUCCESS or any(of_one[f"{kind}_rate"] for of_one in rates.values())
    ]
    shares = [[of_one[f"{kind}_rate"] for kind in outcomes] for of_one in rates.values()]
    size = 5.0 + 1.0 * len(outcomes), 1.6 + 0.24 * len(rates)  # inches
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    _draw_shares(axis, shares, outcomes)
    for line, (of_one, values) in enumerate(zip(rates.values(), shares, strict=True)):
        for column, value in enumerate(values):
            _label_cell(axis, column, line, value, of_one["episodes"])
    axis.set_xticks(range(len(outcomes)), [kind.replace("_", "\n") for kind in outcomes], fontsize=8)
    names = [label(name, of_one["episodes"]) for name, of_one in rates.items()]
    axis.set_yticks(range(len(rates)), names, fontsize=7, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    words = f"{printable(title)}\nepisodes by scenario and outcome, worst first"
    figure.suptitle(words, fontsize=9, parse_math=False)
    save_figure(path, figure, 120)
    plt.close(figure)


def label(name: str, episodes: int) -> str:
    """Return a scenario's name, shortened in the middle if it is long, and its number of episodes."""
    half = MAX_NAME // 2
    short = name if len(name) <= MAX_NAME else f"{name[:half]}...{name[-half:]}"
    return f"{printable(short)}  ({episodes})"


def _draw_shares(axis: Any, shares: list[list[float]], outcomes: list[str]) -> None:
    """Fill the cells: successes in blue, all other outcomes in orange, darker for a larger share."""
    import numpy as np
    from matplotlib import colormaps

    colours = np.array(
        [
            [
                colormaps["Blues" if kind == SUCCESS else "Oranges"](0.75 * value)
                for kind, value in zip(outcomes, values, strict=True)
            ]
            for values in shares
        ]
    )
    axis.imshow(colours, aspect="auto")
    axis.set_xticks([edge - 0.5 for edge in range(1, len(outcomes))], minor=True)
    axis.set_yticks([edge - 0.5 for edge in range(1, len(shares))], minor=True)
    axis.grid(which="minor", color="white", linewidth=1.5)


def _label_cell(axis: Any, column: int, line: int, value: float, episodes: int) -> None:
    """Write the number of episodes into a cell, nothing into an empty one."""
    if value:
        colour = "white" if value > 0.8 else "black"
        axis.text(column, line, f"{round(value * episodes)}", ha="center", va="center", fontsize=7, color=colour)
