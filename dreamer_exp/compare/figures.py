"""learning_curves.png and bars.png: the groups' curves and final values with their 95 % intervals."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from dreamer_exp.compare.metric import is_share, with_unit
from dreamer_exp.compare.model import Comparison, Curve
from dreamer_exp.compare.series import LABELS
from dreamer_exp.compare.summary import ranked

# Okabe and Ito's palette without its yellow, which white swallows
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
TOGETHER = len(COLOURS)  # groups that share a panel; more get one each
ABREAST = 4  # panels
ESTIMATE = "interquartile mean over runs, 95 % bootstrap interval"


def draw(folder: Path, comparison: Comparison, curves: Sequence[Curve]) -> list[Path]:
    """Draws both figures into a folder that is there.

    Args:
        folder: where to.
        comparison: its metric and statistics; neither runs nor groups are looked at.
        curves: one a group.

    Raises:
        OSError: a figure cannot be written.
    """
    figure = _together(comparison, curves) if len(curves) <= TOGETHER else _apart(comparison, curves)
    return [_save(folder / "learning_curves.png", figure), _save(folder / "bars.png", _bars(comparison))]


def _together(comparison: Comparison, curves: Sequence[Curve]) -> Figure:
    """A line a group over env steps or wall time, its interval as a band."""
    figure = Figure(figsize=(9.0, 4.5 + 0.2 * len(curves)), layout="constrained")
    axes = figure.subplots()
    for tree, found, colour in zip(comparison.statistics, curves, COLOURS, strict=False):
        axes.plot(found.x, found.middle, color=colour, linewidth=1.8, label=f"{tree['label']} ({tree['runs']})")
        axes.fill_between(found.x, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(LABELS[comparison.at])
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel(_metric(comparison))
    axes.set_title(ESTIMATE, fontsize=10)
    _tidy(axes)
    if is_share(comparison.metric):
        axes.set_ylim(-0.02, 1.02)
    if curves:
        figure.legend(loc="outside lower center", fontsize=8, frameon=False, title="group (runs)")
    return figure


def _apart(comparison: Comparison, curves: Sequence[Curve]) -> Figure:
    """A panel a group, best first, all others in grey behind it: a dozen bands over each other tell nothing."""
    places = ranked(comparison.statistics, comparison.lower_is_better)
    rows = -(-len(curves) // ABREAST)
    figure = Figure(figsize=(11.0, 1.2 + 2.0 * rows))
    panels = figure.subplots(rows, ABREAST, sharex=True, sharey=True, squeeze=False).ravel()
    gap = [[np.nan], [np.nan]]  # between two groups' lines
    every = np.concatenate([part for found in curves for part in ([found.x, found.middle], gap)], axis=1)
    for place, axes in zip(places, panels, strict=False):
        axes.plot(*every, color="#BBBBBB", linewidth=0.6)
        found, tree = curves[place], comparison.statistics[place]
        axes.plot(found.x, found.middle, color=COLOURS[0], linewidth=1.8)
        axes.fill_between(found.x, found.low, found.high, color=COLOURS[0], alpha=0.25, linewidth=0)
        axes.set_title(fill(f"{tree['label']} ({tree['runs']})", 40), fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.locator_params(nbins=4)
        _tidy(axes)
    if is_share(comparison.metric):
        axes.set_ylim(-0.02, 1.02)  # of all panels
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel(LABELS[comparison.at], fontsize=10)
    figure.supylabel(_metric(comparison), fontsize=10)
    figure.suptitle(f"{ESTIMATE}; group (runs), best first", fontsize=10)
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.6 / figure.get_figheight(), hspace=0.4, wspace=0.12)
    return figure


def _bars(comparison: Comparison) -> Figure:
    """A bar a group, best on top: its final value, the interval, and a dot a run."""
    trees = [comparison.statistics[place] for place in ranked(comparison.statistics, comparison.lower_is_better)]
    figure = Figure(figsize=(9.0, 1.6 + 0.4 * max(1, len(trees))), layout="constrained")
    axes = figure.subplots()
    for place, final in enumerate(tree["final"] for tree in trees):
        if math.isnan(final["iqm"]):
            continue
        axes.barh(place, final["iqm"], height=0.62, color=COLOURS[0], alpha=0.5)
        axes.plot([final["low"], final["high"]], [place, place], color="black", linewidth=1.6)
        axes.plot(final["values"], [place] * len(final["values"]), "o", markersize=4, color="white", mec="black")
    axes.set_yticks(range(len(trees)), [fill(f"{tree['label']} ({tree['counted']})", 48) for tree in trees], fontsize=8)
    axes.set_ylim(max(1, len(trees)) - 0.5, -0.5)
    if is_share(comparison.metric):
        axes.set_xlim(0.0, 1.02)
    axes.set_xlabel(f"final {_metric(comparison)}")
    axes.set_title(f"{ESTIMATE}; a dot a run; group (runs that count)", fontsize=10)
    _tidy(axes)
    return figure


def _metric(comparison: Comparison) -> str:
    return f"{with_unit(comparison.metric)}, {'lower' if comparison.lower_is_better else 'higher'} is better"


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _save(path: Path, figure: Figure) -> Path:
    """Replaces the picture whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        FigureCanvasAgg(figure)
        figure.savefig(beside, format="png", dpi=110)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
