"""Metrics of runs: names and titles, values over time, final and best values, learning curves of groups.

A column of result.jsonl is named as in the file; a figure of evaluation.jsonl is named `evaluation/` and its key there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dreamer_exp.compare.group import signature, strata
from dreamer_exp.compare.model import Curve, Run
from dreamer_exp.compare.read import EPISODES, SECONDS, STEPS
from dreamer_exp.compare.statistics import iqm_band, resampled_iqm
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.rundir.metric_names import EVALUATION_LOWER, WINDOW, is_trained

EVALUATION = "evaluation/"
DEFAULTS = ("evaluation/success_rate", "evaluation/return_mean", "episode_return_window")  # the first that has a value
LOWER_IS_BETTER = (
    "loss/", "grad_norm/", "grad_max/", "time/", "memory/", "replay/bytes", "env_faults", "impossible_episodes",
    *EVALUATION_LOWER,
)  # fmt: skip  # prefixes
SHARES = (  # suffixes of metrics between 0 and 1
    "_rate", "_rate_window", "spl", "_space_share", "path_efficiency", "_without_impossible",
)  # fmt: skip
UNITS = (
    ("jerk_mean", "m/s^3"), ("curvature_mean", "1/m"), ("time_not_moving", "s"), ("stalled_time", "s"),
    ("bytes", "bytes"), ("env_steps_per_s", "env steps/s"), ("_per_s", "1/s"), ("_s", "s"), ("_s_mean", "s"),
    ("_m_mean", "m"), ("_m_min", "m"), ("length_mean", "env steps"), ("entropy", "nats"),
)  # fmt: skip  # by suffix, the first match
AXIS_LABELS = {"env_steps": "env steps", "wall": "wall time [s]"}

SUCCESS = "success"  # an outcome of an episode
MIN_PROGRESS = 0.5  # share of the env steps of its setting's longest run, from which an unfinished run counts
ROUNDING = 1e-9  # relative; the mean of three times 0.05 is more than 0.05
LISTED = 12  # metrics in a message
BAND_RESAMPLES = 400  # per point: fewer than for a printed interval


@dataclass(frozen=True)
class Metric:
    """Metric that the page offers."""

    name: str
    title: str  # with its unit
    is_share: bool = False  # between 0 and 1, shown in percent


OFFERED = (
    Metric("evaluation/success_rate", "success rate, evaluation", is_share=True),
    Metric("evaluation/return_mean", "mean return, evaluation"),
    Metric("evaluation/collision_rate", "collision rate, evaluation", is_share=True),
    Metric("evaluation/spl", "SPL, evaluation", is_share=True),
    Metric("episode_return_window", "return, last 100 training episodes"),
    Metric("success_rate_window", "success rate, last 100 training episodes", is_share=True),
    Metric("collision_rate_window", "collision rate, last 100 training episodes", is_share=True),
    Metric("loss/world_model", "world-model loss"),
    Metric("loss/critic", "critic loss"),
    Metric("actor_entropy", "actor entropy (nat)"),
    Metric("rate/env_steps_per_s", "env steps per second"),
    Metric("rate/updates_per_s", "updates per second"),
)

Series = tuple[np.ndarray, np.ndarray]
"""x and y, float64 [points] each; x ascends, without NaN."""


@dataclass(frozen=True)
class Outcome:
    """A run's result under a metric. Values before the first training step do not count."""

    run: Run
    final: float  # NaN: no value yet
    best: float
    env_steps: float  # 0 without rows
    wall_s: float
    values: int = 0  # number of values after the first step


# --------------------------------------------------------------------------------------------------------------- names


def resolve(name: str | None, runs: Sequence[Run]) -> str:
    """Return the full name of the requested metric, or the default: `success_rate` is evaluation/success_rate.

    Raises:
        UserError: None of the runs has it.
    """
    if name is None:
        return next((default for default in DEFAULTS if any(_has(run, default) for run in runs)), DEFAULTS[0])
    known = available(runs)
    for candidate in (name, f"{EVALUATION}{name}"):
        if candidate in known:
            return candidate
    short = [column.removeprefix(EVALUATION) for column in known]
    hint = nearest(name, [*known, *short]) if known else " They have no rows yet."
    raise UserError(f"--metric {name} is not a metric of these runs.{hint} {_listed(known)}".rstrip())


def available(runs: Sequence[Run]) -> list[str]:
    """Return the names of all metrics that some run has: figures of evaluations first, then columns of result.jsonl."""
    evaluated = dict.fromkeys(name for run in runs for name in _evaluation_metrics(run))
    return [*evaluated, *dict.fromkeys(column for run in runs for column in run.columns)]


def _listed(known: Sequence[str]) -> str:
    """Return a sentence with the first of these names, and how to see all."""
    if not known:
        return ""
    more = f" and {len(known) - LISTED} more (--metric without a name lists all)" if len(known) > LISTED else ""
    return f"They have: {', '.join(known[:LISTED])}{more}."


def describe(name: str) -> Metric:
    """Return the metric's title: from OFFERED, or its name with the unit."""
    return next((metric for metric in OFFERED if metric.name == name), Metric(name, with_unit(name)))


def lower_is_better(metric: str) -> bool:
    """Return whether the smaller of two values is better: losses, times, memory, collisions."""
    return metric.removeprefix(EVALUATION).startswith(LOWER_IS_BETTER)


def is_share(metric: str) -> bool:
    """Return whether the metric lies between 0 and 1."""
    return metric.endswith(SHARES)


def with_unit(metric: str) -> str:
    """Return the name for an axis or a heading: `time/update_s [s]`."""
    unit = next((unit for suffix, unit in UNITS if metric.endswith(suffix)), None)
    return f"{metric} [{unit}]" if unit else metric


def _has(run: Run, metric: str) -> bool:
    """Return whether a default metric has a value after the start of training."""
    if not metric.startswith(EVALUATION):
        return metric in run.columns
    name = metric.removeprefix(EVALUATION)
    return any(is_trained(row) and row[STEPS] > 0 and row.get(name) is not None for row in run.evaluations)


def _evaluation_metrics(run: Run) -> Iterator[str]:
    """Yield the names of the evaluations' figures: numbers, or null for a missing one."""
    for row in run.evaluations:
        yield from (
            f"{EVALUATION}{name}"
            for name, value in row.items()
            if name != "format" and isinstance(value, (int, float, type(None)))
        )


# ----------------------------------------------------------------------------------------------------- values of a run


def series(run: Run, metric: str, at: str) -> Series:
    """Return the metric's values over `env_steps`, or with at="wall" over seconds since the start of the run."""
    if metric.startswith(EVALUATION):
        steps, values = _evaluation_series(run, metric.removeprefix(EVALUATION))
        x = steps if at == STEPS else _seconds_at(run, steps)
    else:
        x = run.rows[STEPS if at == STEPS else SECONDS]
        values = run.rows.get(metric, np.full(len(x), np.nan))
    known = ~(np.isnan(x) | np.isnan(values))
    order = np.argsort(x[known], kind="stable")
    return x[known][order], values[known][order]


def outcome(run: Run, metric: str) -> Outcome:
    """Return the run's final and best value; the best is the minimum where lower is better."""
    x, values = series(_full_windows(run, metric), metric, STEPS)
    values = values[x > 0]
    best = np.min if lower_is_better(metric) else np.max
    return Outcome(
        run=run,
        final=float(values[-1]) if len(values) else float("nan"),
        best=float(best(values)) if len(values) else float("nan"),
        env_steps=_last(run.rows[STEPS]),
        wall_s=_last(run.rows[SECONDS]),
        values=len(values),
    )


def time_to(run: Run, metric: str, at: str, level: float) -> float:
    """Return the env steps or seconds until the metric first reached the level; infinite if it never did.

    As for the final value, an evaluation before training does not count: a policy that stands still has no collisions.
    """
    x, values = series(_full_windows(run, metric), metric, at)
    x, values = x[x > 0], values[x > 0]
    reached = x[_at_level(values, metric, level)]
    return float(reached[0]) if len(reached) else float("inf")


def began_with(run: Run, metric: str, level: float) -> bool:
    """Return whether the run was at the level with the first of several values, such as that before training."""
    _, values = series(_full_windows(run, metric), metric, STEPS)
    return len(values) > 1 and bool(_at_level(values, metric, level)[0])


def _at_level(values: np.ndarray, metric: str, level: float) -> np.ndarray:
    slack = ROUNDING * max(1.0, abs(level))
    there: np.ndarray = values <= level + slack if lower_is_better(metric) else values >= level - slack
    return there


def thin(y: np.ndarray, limit: int) -> np.ndarray:
    """Return the points of a curve to keep: the minimum and the maximum of limit / 2 stretches, and both ends.

    Returns:
        Ascending indices [at most limit + 2]; all of them if there are no more than `limit`.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    width = -(-len(y) // (limit // 2))
    stretches = np.pad(y, (0, -len(y) % width), mode="edge").reshape(-1, width)
    starts = np.arange(len(stretches)) * width
    extremes = np.concatenate([starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1)])
    return np.unique(np.append(extremes, [0, len(y) - 1]).clip(max=len(y) - 1))


def last_evaluation(run: Run) -> dict[str, Any] | None:
    """Return the row of the policy's last evaluation after training, or None."""
    rows = [row for row in run.evaluations if is_trained(row) and row[STEPS] > 0]
    return rows[-1] if rows else None


def successes(run: Run) -> tuple[int, int]:
    """Return successful and all episodes of the last evaluation after training; (0, 0) without one.

    An episode that ended with a fault is not a success, as in the evaluation's own rate.
    """
    row = last_evaluation(run)
    if row is None or row.get("success_rate") is None:
        return 0, 0
    counts = row.get("outcome_counts", {})
    return counts.get(SUCCESS, 0), sum(counts.values())


def _evaluation_series(run: Run, name: str) -> Series:
    rows = [row for row in run.evaluations if is_trained(row)]
    values = [row.get(name) for row in rows]
    numbers = [value if isinstance(value, (int, float)) else np.nan for value in values]
    return np.array([row[STEPS] for row in rows], dtype=np.float64), np.array(numbers, dtype=np.float64)


def _seconds_at(run: Run, steps: np.ndarray) -> np.ndarray:
    """Return the run's seconds at these env steps, interpolated from its rows; evaluations have no time."""
    known = ~np.isnan(run.rows[SECONDS])
    if not known.any():
        return np.full(len(steps), np.nan)
    x, seconds = run.rows[STEPS][known], run.rows[SECONDS][known]
    at: np.ndarray = np.interp(steps, np.concatenate([[0.0], x]), np.concatenate([[0.0], seconds]))
    return at


def _full_windows(run: Run, metric: str) -> Run:
    """Return the run without rows whose *_window metric is over fewer episodes than possible.

    Otherwise the best value, or the first at a level, would be that of a first lucky episode.
    """
    episodes = run.rows.get(EPISODES, np.array([]))
    if not metric.endswith("_window") or np.isnan(episodes).all():
        return run
    full = episodes >= min(WINDOW, np.nanmax(episodes))
    return replace(run, rows={name: run.rows[name][full] for name in (STEPS, SECONDS, metric) if name in run.rows})


def _last(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known[-1]) if len(known) else 0.0


# --------------------------------------------------------------------------------------------------- values of a group


def counted(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes that a group's figures are over.

    They have a value, and their run finished or made MIN_PROGRESS of the env steps of its setting's longest run: a run
    that broke at its start indicates little about its setting. Settings are separate, as with `--by` some of a group
    may have been given fewer steps.
    """
    longest: dict[str, float] = {}
    for one in outcomes:
        setting = signature(one.run)
        longest[setting] = max(one.env_steps, longest.get(setting, 0.0))
    return [
        one
        for one in outcomes
        if not np.isnan(one.final)
        and (one.run.state == "finished" or one.env_steps >= MIN_PROGRESS * longest[signature(one.run)])
    ]


def only_at_end(outcomes: list[Outcome], metric: str) -> bool:
    """Return whether the runs were evaluated only once after training began: a time to a level is then their length."""
    values = [one.values for one in outcomes]
    return metric.startswith(EVALUATION) and bool(values) and float(np.median(values)) == 1


def ranked(statistics: Sequence[dict[str, Any]], lower_is_better: bool) -> list[int]:
    """Return the groups' positions, best final value first, groups without one last."""
    worst = float("inf") if lower_is_better else float("-inf")
    finals = [tree["final"]["iqm"] for tree in statistics]
    finals = [worst if np.isnan(final) else final for final in finals]
    return sorted(range(len(finals)), key=finals.__getitem__, reverse=not lower_is_better)


def curve(runs: Sequence[Run], metric: str, at: str, points: int = 200) -> Curve:
    """Return a group's interquartile mean and 95 % bootstrap interval over its runs.

    Args:
        runs: Runs of the group.
        metric: As in `series`.
        at: "env_steps" or "wall".
        points: Size of the grid from the first value of any run to the last.

    Returns:
        Runs are interpolated between their values and do not count past their ends. Points where fewer than half of
        the runs count are left out. `low` and `high` are NaN where fewer than two runs count. All arrays are empty if
        no run has a value.
    """
    found = [(run, x, y) for run in runs for x, y in [series(run, metric, at)] if len(x)]
    if not found:
        return Curve(*(np.array([]) for _ in range(4)))
    grid = np.linspace(min(x[0] for _, x, _ in found), max(x[-1] for _, x, _ in found), points)
    values = np.stack([np.interp(grid, x, y, left=np.nan, right=np.nan) for _, x, y in found], axis=1)
    enough = 2 * np.count_nonzero(~np.isnan(values), axis=1) >= len(found)
    grid, values = grid[enough], values[enough]
    middle = resampled_iqm(values, np.ones((len(found), 1), dtype=np.int16))[:, 0]
    low, high = iqm_band(values, strata([run for run, _, _ in found]), BAND_RESAMPLES)
    return Curve(grid, middle, low, high)
