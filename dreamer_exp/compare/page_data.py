"""The curves that compare.html draws: which metrics, thinned, as base64 of little-endian float32."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamer_exp.compare.curves import curve
from dreamer_exp.compare.metric import with_unit
from dreamer_exp.compare.model import Comparison, Group, Run
from dreamer_exp.compare.series import series

AXES = ("env_steps", "wall")

# Okabe and Ito's palette, told apart by all kinds of colour vision; yellow and black are lost on one of the papers
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#808890")
DASHES = ("solid", "dash", "dot", "dashdot")  # the next seven groups have the colours again

POINTS_A_CURVE = 500
POINTS_IN_ALL = 600_000  # of single runs' curves; 16 bytes each
GRID = 60  # points of a group's curve: every one is bootstrapped


@dataclass(frozen=True)
class Metric:
    """A metric that the page offers."""

    name: str
    title: str  # with its unit
    share: bool = False  # lies in [0, 1], shown in percent


OFFERED = (
    Metric("evaluation/success_rate", "success rate, evaluation", share=True),
    Metric("evaluation/return_mean", "mean return, evaluation"),
    Metric("evaluation/collision_rate", "collision rate, evaluation", share=True),
    Metric("evaluation/spl", "SPL, evaluation", share=True),
    Metric("episode_return_window", "return, last 100 training episodes"),
    Metric("success_rate_window", "success rate, last 100 training episodes", share=True),
    Metric("collision_rate_window", "collision rate, last 100 training episodes", share=True),
    Metric("loss/world_model", "world-model loss"),
    Metric("loss/critic", "critic loss"),
    Metric("actor_entropy", "actor entropy (nat)"),
    Metric("rate/env_steps_per_s", "env steps per second"),
    Metric("rate/updates_per_s", "updates per second"),
)


def tree(comparison: Comparison) -> dict[str, Any]:
    """What page.js reads: `metrics`, `groups` and `runs` with their curves.

    A run's curve is {"env_steps": x, "wall": x or null, "y": y}; a group's {axis: [x, middle, low, high]}.
    `thinned` tells whether runs have more than `limit` rows, to which their curves are then cut down.
    """
    shown = offered(comparison)
    limit = points_a_curve(len(comparison.runs) * len(shown))
    longest = max((len(values) for run in comparison.runs for values in run.rows.values()), default=0)
    position = {run.root: index for index, run in enumerate(comparison.runs)}
    runs = [_run_curves(run, shown, limit) for run in comparison.runs]
    return {
        "metrics": [{"name": metric.name, "title": metric.title, "share": metric.share} for metric in shown],
        "groups": [
            {
                "label": group.label,
                "runs": [position[run.root] for run in group.runs],
                "colour": colour(index),
                "dash": dash(index),
                "curves": _group_curves(group, shown),
            }
            for index, group in enumerate(comparison.groups)
        ],
        "limit": limit,
        "thinned": longest > limit,
        "runs": [{"name": run.name, "curves": curves} for run, curves in zip(comparison.runs, runs, strict=True)],
    }


def offered(comparison: Comparison) -> list[Metric]:
    """The compared metric first, then those of OFFERED that some run has."""
    compared = known(comparison.metric)
    metrics = (compared, *(metric for metric in OFFERED if metric != compared))
    return [metric for metric in metrics if any(_has(run, metric.name) for run in comparison.runs)]


def known(name: str) -> Metric:
    """A metric by its name: one of OFFERED, or one whose title is its name with the unit."""
    return next((metric for metric in OFFERED if metric.name == name), Metric(name, with_unit(name)))


def points_a_curve(curves: int) -> int:
    """To how many points a run's curve is thinned where there are so many curves."""
    return max(40, min(POINTS_A_CURVE, POINTS_IN_ALL // max(1, curves)))


def colour(group: int) -> str:
    """A group's colour, by its position."""
    return COLOURS[group % len(COLOURS)]


def dash(group: int) -> str:
    """A group's dash pattern, by its position."""
    return DASHES[group // len(COLOURS) % len(DASHES)]


def thin(y: np.ndarray, limit: int) -> np.ndarray:
    """Which points of a curve to keep: the lowest and the highest of each of limit / 2 stretches, and both ends.

    Returns:
        Indices, rising [at most limit + 2]; all of them where there are no more than `limit`.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    width = -(-len(y) // (limit // 2))
    stretches = np.pad(y, (0, -len(y) % width), mode="edge").reshape(-1, width)
    starts = np.arange(len(stretches)) * width
    extremes = np.concatenate([starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1)])
    return np.unique(np.append(extremes, [0, len(y) - 1]).clip(max=len(y) - 1))


def _has(run: Run, metric: str) -> bool:
    return len(series(run, metric, "env_steps")[0]) > 0


def _run_curves(run: Run, metrics: Sequence[Metric], limit: int) -> dict[str, Any]:
    found = {metric.name: _run_curve(run, metric.name, limit) for metric in metrics}
    return {name: curve for name, curve in found.items() if curve}


def _run_curve(run: Run, metric: str, limit: int) -> dict[str, str | None] | None:
    steps, values = series(run, metric, "env_steps")
    seconds, same_values = series(run, metric, "wall")
    if not len(steps):
        return None
    keep = thin(values, limit)
    timed = np.array_equal(values, same_values)  # not so where rows lack their time
    return {"env_steps": _text(steps[keep]), "wall": _text(seconds[keep]) if timed else None, "y": _text(values[keep])}


def _group_curves(group: Group, metrics: Sequence[Metric]) -> dict[str, Any]:
    found = {metric.name: _group_curve(group, metric.name) for metric in metrics}
    return {name: curves for name, curves in found.items() if curves}


def _group_curve(group: Group, metric: str) -> dict[str, list[str]]:
    curves = {axis: curve(group.runs, metric, axis, points=GRID) for axis in AXES}
    return {
        axis: [_text(values) for values in (found.x, found.middle, found.low, found.high)]
        for axis, found in curves.items()
        if len(found.x)
    }


def _text(values: np.ndarray) -> str:
    most = np.finfo(np.float32).max
    return base64.b64encode(values.clip(-most, most).astype("<f4").tobytes()).decode()
