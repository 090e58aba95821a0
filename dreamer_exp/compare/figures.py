"""learning_curves.png and bars.png: the groups' curves and final values with their 95 % intervals."""

import math
import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from dreamer_exp.compare.curves import curve
from dreamer_exp.compare.metric import with_unit
from dreamer_exp.compare.model import Comparison
from dreamer_exp.compare.series import LABELS
from dreamer_exp.compare.summary import ranked

# Okabe and Ito's palette without its yellow, which white swallows; a second round of colours is dashed, a third dotted
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
LINES = ("-", "--", ":", "-.")


def draw(folder: Path, comparison: Comparison) -> list[Path]:
    """Draws both figures into a folder that is there; raises OSError."""
    return [
        _save(folder / "learning_curves.png", _curves(comparison)),
        _save(folder / "bars.png", _bars(comparison)),
    ]


def _curves(comparison: Comparison) -> Figure:
    """A line a group over env steps or wall time, its interval as a band."""
    longest = max((len(group.label) for group in comparison.groups), default=0)
    columns = max(1, min(3, 120 // (longest + 12)))
    rows = -(-len(comparison.groups) // columns)
    figure = Figure(figsize=(9.0, 4.5 + 0.2 * rows), layout="constrained")
    axes = figure.subplots()
    for position, group in enumerate(comparison.groups):
        colour, line = COLOURS[position % len(COLOURS)], LINES[position // len(COLOURS) % len(LINES)]
        found = curve(group.runs, comparison.metric, comparison.at)
        label = f"{group.label} ({len(group.runs)})"
        axes.plot(found.x, found.middle, color=colour, linestyle=line, linewidth=1.8, label=label)
        axes.fill_between(found.x, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(LABELS[comparison.at])
    axes.set_ylabel(_metric(comparison))
    axes.set_title("interquartile mean over runs, 95 % bootstrap interval", fontsize=10)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _tidy(axes)
    if comparison.groups:
        figure.legend(loc="outside lower center", ncols=columns, fontsize=8, frameon=False, title="group (runs)")
    return figure


def _bars(comparison: Comparison) -> Figure:
    """A bar a group, best on top: its final value, the interval, and a dot each run."""
    trees = ranked(comparison)
    groups = {group.label: group for group in comparison.groups}
    figure = Figure(figsize=(9.0, 1.6 + 0.4 * max(1, len(trees))), layout="constrained")
    axes = figure.subplots()
    for place, tree in enumerate(trees):
        final = tree["final"]
        if math.isnan(final["iqm"]):
            continue
        position = comparison.groups.index(groups[tree["label"]])
        axes.barh(place, final["iqm"], height=0.62, color=COLOURS[position % len(COLOURS)], alpha=0.75)
        if not math.isnan(final["low"]):
            axes.plot([final["low"], final["high"]], [place, place], color="black", linewidth=1.6)
        axes.plot(final["values"], [place] * len(final["values"]), "o", markersize=4, color="white", mec="black")
    axes.set_yticks(range(len(trees)), [f"{tree['label']} ({tree['counted']})" for tree in trees], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"final {_metric(comparison)}")
    axes.set_title("interquartile mean over runs, 95 % bootstrap interval; a dot a run", fontsize=10)
    _tidy(axes)
    return figure


def _metric(comparison: Comparison) -> str:
    return f"{with_unit(comparison.metric)}, {'lower' if comparison.lower_is_better else 'higher'} is better"


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _save(path: Path, figure: Figure) -> Path:
    """Replaces the picture whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        FigureCanvasAgg(figure)
        figure.savefig(beside, format="png", dpi=130)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
