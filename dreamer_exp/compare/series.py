"""A run's metric over env steps or over seconds."""

import numpy as np

from dreamer_exp.compare.files import SECONDS, STEPS
from dreamer_exp.compare.metric import EVALUATION
from dreamer_exp.compare.model import Run
from dreamer_exp.rundir.metric_names import LEARNER

LABELS = {"env_steps": "env steps", "wall": "wall time [s]"}  # of the two axes

Series = tuple[np.ndarray, np.ndarray]
"""x and y, float64 [points] each; x ascends, and nothing is NaN."""


def series(run: Run, metric: str, at: str) -> Series:
    """The metric's values that the run has, over `env_steps` or, with at="wall", over seconds since it began."""
    if metric.startswith(EVALUATION):
        steps, values = _evaluations(run, metric.removeprefix(EVALUATION))
        x = steps if at == STEPS else _seconds_at(run, steps)
    else:
        x = run.rows[STEPS if at == STEPS else SECONDS]
        values = run.rows.get(metric, np.full(len(x), np.nan))
    told = ~(np.isnan(x) | np.isnan(values))
    order = np.argsort(x[told], kind="stable")
    return x[told][order], values[told][order]


def _evaluations(run: Run, name: str) -> Series:
    rows = [row for row in run.evaluations if row["policy"] == LEARNER]
    values = [row.get(name) for row in rows]
    numbers = [value if isinstance(value, (int, float)) else np.nan for value in values]
    return np.array([row[STEPS] for row in rows], dtype=np.float64), np.array(numbers, dtype=np.float64)


def _seconds_at(run: Run, steps: np.ndarray) -> np.ndarray:
    """When the run had done so many env steps: evaluations tell no time, the rows do."""
    known = ~np.isnan(run.rows[SECONDS])
    if not known.any():
        return np.full(len(steps), np.nan)
    x, seconds = run.rows[STEPS][known], run.rows[SECONDS][known]
    at: np.ndarray = np.interp(steps, np.concatenate([[0.0], x]), np.concatenate([[0.0], seconds]))
    return at
