"""The curves of a run as SVG shapes: training as a line, evaluations as points with intervals, baselines as levels."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dreamer_exp.compare.metrics import series, thin
from dreamer_exp.compare.model import Run
from dreamer_exp.formatting import shortened
from dreamer_exp.html_page import figure, percent
from dreamer_exp.palette import GREEN, GREY, ORANGE, PURPLE, SKY_BLUE, VERMILION
from dreamer_exp.report.rates import interval_of
from dreamer_exp.rundir.display import is_number
from dreamer_exp.rundir.metric_names import is_trained

WIDTH, HEIGHT = 420, 230  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 10, 36  # margins
MAX_POINTS = 400  # of the line
MAX_MARKS = 200  # evaluations
MAX_LEVELS = 6  # baselines
TICKS = 5
LEVEL_COLOURS = (GREY, ORANGE, GREEN, PURPLE, SKY_BLUE, VERMILION)


@dataclass(frozen=True)
class Panel:
    """What one chart shows."""

    title: str
    column: str  # of result.jsonl
    evaluated: str = ""  # the figure of an evaluation, if it has one
    is_share: bool = False
    is_log: bool = False


PANELS = (
    Panel("success rate", "success_rate_window", "success_rate", is_share=True),
    Panel("return", "episode_return_window", "return_mean"),
    Panel("world-model loss", "loss/world_model", is_log=True),
    Panel("critic loss", "loss/critic", is_log=True),  # of algorithms without a world model
)
MAX_PANELS = 3


@dataclass(frozen=True)
class Mark:
    """An evaluation: its point, the ends of its interval, and what the browser shows at the pointer."""

    x: float
    y: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True)
class Level:
    """A baseline's value."""

    y: float
    colour: str
    text: str


@dataclass(frozen=True)
class Chart:
    """One chart, in the units of its SVG."""

    title: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    line: str  # the points of a polyline
    marks: Sequence[Mark]
    levels: Sequence[Level]


def baselines_of(run: Run) -> dict[str, dict[str, Any]]:
    """Return the last evaluation of each of the first MAX_LEVELS baselines by name."""
    found: dict[str, dict[str, Any]] = {}
    for row in run.evaluations:
        if not is_trained(row) and (row["policy"] in found or len(found) < MAX_LEVELS):
            found[row["policy"]] = row
    return found


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """Return the colour of each baseline."""
    return dict(zip(names, LEVEL_COLOURS, strict=False))


def charts_of(run: Run) -> list[Chart]:
    """Return the charts that have something to show, at most MAX_PANELS."""
    charts = [chart for panel in PANELS if (chart := _chart(run, panel)) is not None]
    return charts[:MAX_PANELS]


def _chart(run: Run, panel: Panel) -> Chart | None:
    x, y = series(run, panel.column, "env_steps")
    mine = [row for row in run.evaluations if is_trained(row) and _value(row, panel) is not None]
    mine = [mine[place] for place in thin(np.arange(float(len(mine))), MAX_MARKS)]
    others = [row for row in baselines_of(run).values() if _value(row, panel) is not None]
    if not len(y) and not any(row["env_steps"] for row in mine):
        return None
    values = [*y, *(row[panel.evaluated] for row in (*mine, *others))]
    is_log = panel.is_log and min(values) > 0
    to_x = _Scale.of([0.0, 1.0, *x, *(row["env_steps"] for row in mine)], (LEFT, WIDTH - RIGHT))
    to_y = _Scale.of([0.0, 1.0] if panel.is_share else values, (HEIGHT - BOTTOM, TOP), is_log)
    keep = thin(y, MAX_POINTS) if len(y) else np.array([], dtype=int)
    return Chart(
        title=panel.title,
        x_ticks=[(to_x(tick), short_count(tick)) for tick in to_x.ticks()],
        y_ticks=[(to_y(tick), f"{tick:.0%}" if panel.is_share else f"{tick:g}") for tick in to_y.ticks()],
        line=" ".join(f"{to_x(x[place])},{to_y(y[place])}" for place in keep),
        marks=[_mark(row, panel, to_x, to_y) for row in mine],
        levels=[_level(row, panel, to_y, colours_of(baselines_of(run))) for row in others],
    )


def _value(row: dict[str, Any], panel: Panel) -> float | None:
    value = row.get(panel.evaluated)
    return value if is_number(value) and (not panel.is_share or 0 <= value <= 1) else None


def _mark(row: dict[str, Any], panel: Panel, to_x: "_Scale", to_y: "_Scale") -> Mark:
    value, steps = row[panel.evaluated], row["env_steps"]
    interval = interval_of(row, panel.evaluated) if panel.is_share else None
    low, high = (to_y(interval[0]), to_y(interval[1])) if interval else (None, None)
    text = percent(value) if panel.is_share else figure(value)
    return Mark(to_x(steps), to_y(value), low, high, f"{text} after {steps:,.0f} env steps")


def _level(row: dict[str, Any], panel: Panel, to_y: "_Scale", colours: dict[str, str]) -> Level:
    value, name = row[panel.evaluated], row["policy"]
    text = percent(value) if panel.is_share else figure(value)
    return Level(to_y(value), colours[name], f"{shortened(name)}: {text}")


@dataclass(frozen=True)
class _Scale:
    """Map from values to a stretch of the chart."""

    low: float
    high: float
    begin: float
    end: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[float], stretch: tuple[float, float], is_log: bool = False) -> "_Scale":
        """Return a scale that holds the values, of which there is one at least."""
        low, high = float(min(values)), float(max(values))
        if is_log:
            low, high = math.log10(low), math.log10(high)
        if high - low < 1e-9 * max(1.0, abs(high)):
            pad = 0.1 if is_log else 0.5 * (abs(high) or 1.0)
            low, high = low - pad, high + pad
        return cls(low, high, *stretch, is_log)

    def __call__(self, value: float) -> float:
        place = math.log10(value) if self.is_log else value
        return round(self.begin + (place - self.low) / (self.high - self.low) * (self.end - self.begin), 1)

    def ticks(self) -> list[float]:
        """Return up to some TICKS round values."""
        if not self.is_log:
            step = _round_step((self.high - self.low) / TICKS)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            return [float(f"{step * place:.6g}") for place in range(first, last + 1)]
        for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            found = [digit * 10.0**power for power in powers for digit in digits]
            shown = [value for value in found if self.low <= math.log10(value) <= self.high]
            if len(shown) > 1:
                return shown[:: max(1, len(shown) // TICKS)]
        return [float(f"{10**place:.4g}") for place in (self.low, self.high)]


def _round_step(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * (1 - 1e-9))


def short_count(value: float) -> str:
    """Return a count for an axis: `0`, `500`, `20k`, `1.5M`."""
    for (size, unit), (above, _) in pairwise([(1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (math.inf, "")]):
        if value < above:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
