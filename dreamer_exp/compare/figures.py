"""learning_curves.png and bars.png: the groups' curves and final values with their 95 % intervals."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from dreamer_exp.compare.metrics import AXIS_LABELS, is_share, ranked, with_unit
from dreamer_exp.compare.model import Comparison, Curve
from dreamer_exp.palette import BLACK, BLUE, GREEN, LIGHT_GREY, ORANGE, PURPLE, SKY_BLUE, VERMILION
from dreamer_exp.rundir.atomic import save_figure

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY_BLUE, VERMILION, BLACK)
MAX_SHARED = len(COLOURS)  # groups in one panel; more get a panel each
PANELS_PER_ROW = 4
ESTIMATE = "interquartile mean over runs, 95 % bootstrap interval"


@contextmanager
def literal_text() -> Iterator[None]:
    """Draw texts as they are: a `$` in a label begins no formula, which might be broken."""
    with rc_context({"text.parse_math": False, "text.usetex": False}):
        yield


@literal_text()
def draw(folder: Path, comparison: Comparison, curves: Sequence[Curve]) -> list[Path]:
    """Draw both figures into an existing folder and return their paths.

    Args:
        folder: Output folder.
        comparison: Its metric and statistics are used; runs and groups are not.
        curves: One curve per group.

    Raises:
        OSError: A figure cannot be written.
    """
    figure = _shared_panel(comparison, curves) if len(curves) <= MAX_SHARED else _panels(comparison, curves)
    return [_save(folder / "learning_curves.png", figure), _save(folder / "bars.png", _bars(comparison))]


def _shared_panel(comparison: Comparison, curves: Sequence[Curve]) -> Figure:
    """Return a figure with one panel: a line per group with its interval as a band."""
    figure = Figure(figsize=(9.0, 4.5 + 0.2 * len(curves)), layout="constrained")
    axes = figure.subplots()
    for group, found, colour in zip(comparison.statistics, curves, COLOURS, strict=False):
        axes.plot(found.x, found.middle, color=colour, linewidth=1.8, label=f"{group['label']} ({group['runs']})")
        axes.fill_between(found.x, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel(AXIS_LABELS[comparison.at])
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel(_metric(comparison))
    axes.set_title(ESTIMATE, fontsize=10)
    _tidy(axes)
    if is_share(comparison.metric):
        axes.set_ylim(-0.02, 1.02)
    if curves:
        figure.legend(loc="outside lower center", fontsize=8, frameon=False, title="group (runs)")
    return figure


def _panels(comparison: Comparison, curves: Sequence[Curve]) -> Figure:
    """Return a figure with a panel per group, best first, with the other groups in grey.

    A dozen overlapping bands would be unreadable.
    """
    places = ranked(comparison.statistics, comparison.lower_is_better)
    rows = -(-len(curves) // PANELS_PER_ROW)
    figure = Figure(figsize=(11.0, 1.2 + 2.0 * rows))
    panels = figure.subplots(rows, PANELS_PER_ROW, sharex=True, sharey=True, squeeze=False).ravel()
    gap = [[np.nan], [np.nan]]  # separates the lines of two groups
    every = np.concatenate([part for found in curves for part in ([found.x, found.middle], gap)], axis=1)
    for place, axes in zip(places, panels, strict=False):
        axes.plot(*every, color=LIGHT_GREY, linewidth=0.6)  # the other groups
        found, group = curves[place], comparison.statistics[place]
        axes.plot(found.x, found.middle, color=COLOURS[0], linewidth=1.8)
        axes.fill_between(found.x, found.low, found.high, color=COLOURS[0], alpha=0.25, linewidth=0)
        axes.set_title(fill(f"{group['label']} ({group['runs']})", 40), fontsize=8)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.locator_params(nbins=4)
        _tidy(axes)
    if is_share(comparison.metric):
        axes.set_ylim(-0.02, 1.02)  # shared by all panels
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    figure.supxlabel(AXIS_LABELS[comparison.at], fontsize=10)
    figure.supylabel(_metric(comparison), fontsize=10)
    figure.suptitle(f"{ESTIMATE}; group (runs), best first", fontsize=10)
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.6 / figure.get_figheight(), hspace=0.4, wspace=0.12)
    return figure


def _bars(comparison: Comparison) -> Figure:
    """Return a figure with a bar per group, best at the top: final value, interval, and a dot per run."""
    groups = [comparison.statistics[place] for place in ranked(comparison.statistics, comparison.lower_is_better)]
    figure = Figure(figsize=(9.0, 1.6 + 0.4 * max(1, len(groups))), layout="constrained")
    axes = figure.subplots()
    for place, final in enumerate(group["final"] for group in groups):
        if math.isnan(final["iqm"]):
            continue
        axes.barh(place, final["iqm"], height=0.62, color=COLOURS[0], alpha=0.5)
        axes.plot([final["low"], final["high"]], [place, place], color="black", linewidth=1.6)
        axes.plot(final["values"], [place] * len(final["values"]), "o", markersize=4, color="white", mec="black")
    axes.set_yticks(
        range(len(groups)), [fill(f"{group['label']} ({group['counted']})", 48) for group in groups], fontsize=8
    )
    axes.set_ylim(max(1, len(groups)) - 0.5, -0.5)
    if is_share(comparison.metric):
        axes.set_xlim(0.0, 1.02)
    axes.set_xlabel(f"final {_metric(comparison)}")
    axes.set_title(f"{ESTIMATE}; one dot per run; group (runs that count)", fontsize=10)
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
    FigureCanvasAgg(figure)
    save_figure(path, figure, 110)
    return path
