"""What one run came to under a metric: its last and its best value, and when it first reached a level."""

from dataclasses import dataclass, replace

import numpy as np

from dreamer_exp.compare.files import EPISODES, SECONDS, STEPS
from dreamer_exp.compare.group import signature
from dreamer_exp.compare.metric import EVALUATION, lower_is_better
from dreamer_exp.compare.model import Run
from dreamer_exp.compare.series import series
from dreamer_exp.rundir.metric_names import LEARNER, WINDOW

SUCCESS = "success"  # an episode's outcome (envs/episode.py, which would bring gymnasium)
FAR_ENOUGH = 0.5  # of the env steps of its setting's furthest run: from there on a run that has not finished counts

ROUNDING = 1e-9  # relative; the mean of three times 0.05 is more than 0.05


@dataclass(frozen=True)
class Outcome:
    """A run's figures. The metric's value before the first step is none of them."""

    run: Run
    final: float  # NaN: no value yet
    best: float
    env_steps: float  # that it did; 0 without rows
    wall_s: float
    values: int = 0  # how many it has after the first step


def outcome(run: Run, metric: str) -> Outcome:
    """The run's figures under the metric; what is best is the least of a loss, and the most of a return."""
    x, values = series(_settled(run, metric), metric, STEPS)
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


def counted(outcomes: list[Outcome]) -> list[Outcome]:
    """Those of a group that its figures are over: they have a value, and finished or went half as far as
    the furthest run of their setting.

    A run that broke at its start, or began a minute ago, tells little of where its setting leads. Other settings of
    the group (`--by`) may have been given fewer steps, so that they say nothing of how far a run should be.
    """
    furthest: dict[str, float] = {}
    for told in outcomes:
        setting = signature(told.run)
        furthest[setting] = max(told.env_steps, furthest.get(setting, 0.0))
    return [
        told
        for told in outcomes
        if not np.isnan(told.final)
        and (told.run.state == "finished" or told.env_steps >= FAR_ENOUGH * furthest[signature(told.run)])
    ]


def time_to(run: Run, metric: str, at: str, level: float) -> float:
    """Env steps or seconds until the metric first was at the level or better; infinite where it never was."""
    x, values = series(_settled(run, metric), metric, at)
    slack = ROUNDING * max(1.0, abs(level))
    reached = x[values <= level + slack if lower_is_better(metric) else values >= level - slack]
    return float(reached[0]) if len(reached) else float("inf")


def only_at_end(told: list[Outcome], metric: str) -> bool:
    """Whether the runs were evaluated but once after training began: then the time to a level is their length."""
    return metric.startswith(EVALUATION) and bool(told) and float(np.median([one.values for one in told])) == 1


def successes(run: Run) -> tuple[int, int]:
    """Successful episodes and all episodes of the last evaluation after training; (0, 0) where there is none.

    An episode that broke off on a fault is no success, as in the evaluation's own rate (evaluation/rollout.py).
    """
    rows = [row for row in run.evaluations if row["policy"] == LEARNER and row[STEPS] > 0]
    if not rows or rows[-1].get("success_rate") is None:
        return 0, 0
    counts = rows[-1].get("outcome_counts", {})
    return counts.get(SUCCESS, 0), sum(counts.values())


def _settled(run: Run, metric: str) -> Run:
    """The run without the rows in which a *_window figure is of fewer episodes than it could be: a best value, or the
    first one at a level, would be that of the first lucky episode."""
    episodes = run.rows.get(EPISODES, np.array([]))
    if not metric.endswith("_window") or np.isnan(episodes).all():
        return run
    full = episodes >= min(WINDOW, np.nanmax(episodes))
    kept = {name: run.rows[name][full] for name in (STEPS, SECONDS, metric) if name in run.rows}
    return replace(run, rows=kept)


def _last(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known[-1]) if len(known) else 0.0
