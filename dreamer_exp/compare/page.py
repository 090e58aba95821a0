"""compare.html: curves, findings and tables in one file that loads nothing; plotly.js (4.8 MB, MIT) is inside.

The templates are in templates/. They escape all text (autoescape), as names and errors of runs can hold anything.
"""

import math
import os
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dreamer_exp.compare.budgets import amount_text, best_against
from dreamer_exp.compare.differences import ABSENT, as_typed, code_of, hardware_of
from dreamer_exp.compare.metrics import OFFERED, Metric, available, curve, describe, series, thin
from dreamer_exp.compare.model import Comparison, ComparisonRequest, Group, Run
from dreamer_exp.compare.pipeline import compare
from dreamer_exp.compare.scenarios import worst_first
from dreamer_exp.formatting import MISSING, count, duration, printable
from dreamer_exp.html_page import SHARED, content_policy, encodable, environment, template_file
from dreamer_exp.palette import BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, SLATE, VERMILION
from dreamer_exp.rundir.atomic import write_text

PACKAGE = "dreamer_exp.compare"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY_BLUE, VERMILION, SLATE)
DASHES = {"solid": "none", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}  # Plotly's name: lengths in SVG
AXES = ("env_steps", "wall")
MAX_KEYS, MAX_PAIRS = 200, 200  # rows of a table; compare.json has all
MAX_SINGLES = 60  # runs, up to which their own curves are shown at first

MAX_POINTS_PER_CURVE = 500  # of a run
MAX_POINTS = 600_000  # of all runs' curves, 16 bytes each
GROUP_POINTS = 60  # of a group's curve: each is bootstrapped


def write_page(path: Path, comparison: Comparison) -> None:
    """Write the page; its links to the runs are relative to its folder.

    Raises:
        OSError: The file cannot be written.
    """
    write_text(path, render_page(comparison, path.parent.resolve()))


def render_page(comparison: Comparison, folder: Path) -> str:
    """Return the page's HTML, for this folder."""
    data = curve_data(comparison)
    views = _views(comparison)
    scripts = {"plotly": str(get_plotlyjs()).replace("\r", ""), "script": template_file(PACKAGE, "compare.js")}
    groups = [
        {"label": group.label, "colour": _colour(place), "dashes": DASHES[_dash(place)]}
        for place, group in enumerate(comparison.groups)
    ]
    template = _environment().get_template("compare.html.j2")
    page = template.render(
        comparison=comparison,
        views=views,
        max_keys=MAX_KEYS,
        max_pairs=MAX_PAIRS,
        states=Counter(run.state for run in comparison.runs).most_common(),
        groups=groups,
        view_of={view["label"]: view for view in groups},
        runs={run.root: _run_view(run, place, folder) for place, run in enumerate(comparison.runs)},
        group_of={run.root: groups[place] for place, group in enumerate(comparison.groups) for run in group.runs},
        other_differences=[one for one in comparison.differences if one.key not in comparison.differing],
        scenarios=worst_first(comparison.scenarios),
        max_singles=MAX_SINGLES,
        data=data,
        policy=content_policy("data: blob:", scripts.values()),
        style=Markup(template_file(SHARED, "page.css")),
        **{name: Markup(script) for name, script in scripts.items()},
    )
    return encodable(page)


def _views(comparison: Comparison) -> list[tuple[Metric, Comparison]]:
    """Return a comparison under each metric that the page offers, the requested one first."""
    requested = describe(comparison.metric), comparison
    names = {*available(comparison.runs)} - {comparison.metric}
    others = [metric for metric in _offered(comparison) if metric.name in names]
    requests = [(metric, ComparisonRequest(metric.name, comparison.at, comparison.by)) for metric in others]
    return [requested, *((metric, compare(comparison.runs, request)) for metric, request in requests)]


# -------------------------------------------------------------------------------------------------------- the template


@cache
def _environment() -> Environment:
    templates = environment(PACKAGE)
    templates.filters["as_typed"] = as_typed
    templates.globals |= {
        "ABSENT": ABSENT,
        "amount_text": amount_text,
        "best_against": best_against,
        "count": count,
        "duration": duration,
    }
    return templates


def _run_view(run: Run, place: int, folder: Path) -> dict[str, Any]:
    hardware = hardware_of(run)
    gpus = hardware["GPUs"]
    return {
        "place": place,
        "name": run.name,
        "href": f"{quote(os.fsencode(os.path.relpath(run.root, folder)))}/",
        "root": printable(run.root),
        "seed": as_typed(run.config.get("run.seed", MISSING)),
        "state": run.state,
        "error": run.error,
        "env_steps": _last(run, "env_steps"),
        "wall_s": _last(run, "time/total_s"),
        "commit": as_typed(code_of(run)["git"]) if run.provenance else MISSING,
        "machine": as_typed(gpus) if gpus else f"{as_typed(hardware['CPU cores'])} x {as_typed(hardware['CPU'])}",
    }


def _last(run: Run, column: str) -> float:
    values = run.rows.get(column, np.array([]))
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else math.nan


# ---------------------------------------------------------------------------------------------- the data of its curves


def curve_data(comparison: Comparison) -> dict[str, Any]:
    """Return what compare.js draws: `metrics`, `groups` and `runs` with their curves.

    Arrays are base64 of little-endian float32. A run's curve is {"env_steps": x, "wall": x or null, "y": y}, a group's
    {axis: [x, middle, low, high]}. `thinned` is true if a run has more than `limit` rows; its curves are then thinned.
    """
    offered = _offered(comparison)
    limit = points_per_curve(len(comparison.runs) * len(offered))
    longest = max((len(values) for run in comparison.runs for values in run.rows.values()), default=0)
    place_of = {run.root: place for place, run in enumerate(comparison.runs)}
    return {
        "metrics": [{"name": metric.name, "title": metric.title, "share": metric.is_share} for metric in offered],
        "groups": [
            {
                "label": group.label,
                "runs": [place_of[run.root] for run in group.runs],
                "colour": _colour(place),
                "dash": _dash(place),
                "curves": _group_curves(group, offered),
            }
            for place, group in enumerate(comparison.groups)
        ],
        "limit": limit,
        "thinned": longest > limit,
        "runs": [{"name": run.name, "curves": _run_curves(run, offered, limit)} for run in comparison.runs],
    }


def points_per_curve(curves: int) -> int:
    """Return the limit of points for each of this many runs' curves."""
    return max(40, min(MAX_POINTS_PER_CURVE, MAX_POINTS // max(1, curves)))


def _offered(comparison: Comparison) -> list[Metric]:
    """Return the compared metric, if some run has it, then those of OFFERED that some run has."""
    compared = describe(comparison.metric)
    metrics = (compared, *(metric for metric in OFFERED if metric != compared))
    return [metric for metric in metrics if any(len(series(run, metric.name, AXES[0])[0]) for run in comparison.runs)]


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _dash(place: int) -> str:
    return list(DASHES)[place // len(COLOURS) % len(DASHES)]


def _run_curves(run: Run, metrics: Sequence[Metric], limit: int) -> dict[str, Any]:
    curves = {metric.name: _run_curve(run, metric.name, limit) for metric in metrics}
    return {name: found for name, found in curves.items() if found}


def _run_curve(run: Run, metric: str, limit: int) -> dict[str, str | None] | None:
    steps, values = series(run, metric, "env_steps")
    seconds, timed_values = series(run, metric, "wall")
    if not len(steps):
        return None
    keep = thin(values, limit)
    timed = np.array_equal(values, timed_values)  # false if rows lack their time
    return {
        "env_steps": _base64(steps[keep]),
        "wall": _base64(seconds[keep]) if timed else None,
        "y": _base64(values[keep]),
    }


def _group_curves(group: Group, metrics: Sequence[Metric]) -> dict[str, Any]:
    curves = {metric.name: _group_curve(group, metric.name) for metric in metrics}
    return {name: found for name, found in curves.items() if found}


def _group_curve(group: Group, metric: str) -> dict[str, list[str]]:
    curves = {axis: curve(group.runs, metric, axis, points=GROUP_POINTS) for axis in AXES}
    return {
        axis: [_base64(values) for values in (found.x, found.middle, found.low, found.high)]
        for axis, found in curves.items()
        if len(found.x)
    }


def _base64(values: np.ndarray) -> str:
    most = np.finfo(np.float32).max
    return b64encode(values.clip(-most, most).astype("<f4").tobytes()).decode()
