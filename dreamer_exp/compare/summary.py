"""One group's figures, as the tree that compare.json and the terminal's table show."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamer_exp.compare.group import SEED, strata
from dreamer_exp.compare.model import Group
from dreamer_exp.compare.outcome import Outcome, only_at_end, successes, time_to
from dreamer_exp.compare.statistics import iqm_interval
from dreamer_exp.rundir.rates import wilson_interval


def summarise(group: Group, told: list[Outcome], metric: str, threshold: float) -> dict[str, Any]:
    """The figures over the runs that count.

    Args:
        group: all of its runs.
        told: of those that count.
        metric: as `series` takes it.
        threshold: the level whose reaching is timed; NaN: none.
    """
    return {
        "label": group.label,
        "settings": group.settings,
        "runs": len(group.runs),
        "counted": len(told),
        "states": dict(Counter(run.state for run in group.runs)),
        "seeds": [run.config.get(SEED) for run in group.runs],
        "env_steps": _median([one.env_steps for one in told]),
        "wall_s": _median([one.wall_s for one in told]),
        "final": _figures(told, np.array([one.final for one in told])),
        "best": _figures(told, np.array([one.best for one in told])),
        "success": _success(told),
        "threshold": {
            "value": threshold,
            "env_steps": _time(told, metric, "env_steps", threshold),
            "wall_s": _time(told, metric, "wall", threshold),
        },
    }


def ranked(trees: Sequence[dict[str, Any]], lower_is_better: bool) -> list[int]:
    """Positions of the groups' trees, best final value first, those without one last."""
    worst = math.inf if lower_is_better else -math.inf
    finals = [worst if math.isnan(tree["final"]["iqm"]) else tree["final"]["iqm"] for tree in trees]
    return sorted(range(len(finals)), key=finals.__getitem__, reverse=not lower_is_better)


def _figures(told: list[Outcome], values: np.ndarray) -> dict[str, Any]:
    """Mean, and interquartile mean with its 95 % stratified bootstrap interval."""
    interval = iqm_interval(values, strata([one.run for one in told]))
    mean = float(np.mean(values)) if len(values) else float("nan")
    return {
        "mean": mean, "iqm": interval.estimate, "low": interval.low, "high": interval.high, "values": values.tolist(),
    }  # fmt: skip


def _success(told: list[Outcome]) -> dict[str, Any] | None:
    """The last evaluations' episodes as one binomial, with Wilson's interval; None where no task has successes.

    Episodes count as independent, those of one run too: how far seeds are apart is told by the group's other interval.
    """
    counts = [successes(one.run) for one in told]
    won, episodes = sum(one for one, _ in counts), sum(of for _, of in counts)
    interval = wilson_interval(won, episodes)
    if interval is None:
        return None
    return {"successes": won, "episodes": episodes, "rate": won / episodes, "low": interval[0], "high": interval[1]}


def _time(told: list[Outcome], metric: str, at: str, level: float) -> dict[str, Any]:
    """How many runs reached the level, and the median time; infinite, as it is censored, where at most half did.

    NaN where the only evaluation is the last: it would be the runs' length.
    """
    times = [time_to(one.run, metric, at, level) for one in told]
    median = math.nan if only_at_end(told, metric) else _median(times)
    return {"median": median, "reached": int(np.isfinite(times).sum()), "of": len(times)}


def _median(values: list[float]) -> float:
    """The middle value, or the mean of both: infinite where at most half are finite."""
    return float(np.median(values)) if values else float("nan")
