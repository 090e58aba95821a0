"""A group's learning curve: the interquartile mean over its runs and its interval, on a common grid."""

from collections.abc import Sequence

import numpy as np

from dreamer_exp.compare.group import strata
from dreamer_exp.compare.model import Curve, Run
from dreamer_exp.compare.series import series
from dreamer_exp.compare.statistics import iqm_band, resampled_iqm

RESAMPLES = 400  # a point: a band needs fewer than a figure that is printed


def curve(runs: Sequence[Run], metric: str, at: str, points: int = 200) -> Curve:
    """Interquartile mean and 95 % bootstrap interval over the runs.

    Args:
        runs: of one group.
        metric: as `series` takes it.
        at: "env_steps" or "wall".
        points: of the grid, from the first value that any run has to the last.

    Returns:
        Between its values a run is interpolated, and past its ends it doesn't count; points where less than half of
        the runs count are left out. `low` and `high` are NaN where fewer than two runs count; all arrays are empty
        where no run has a value.
    """
    told = [(run, *found) for run in runs if len((found := series(run, metric, at))[0])]
    if not told:
        return Curve(*(np.array([]) for _ in range(4)))
    grid = np.linspace(min(x[0] for _, x, _ in told), max(x[-1] for _, x, _ in told), points)
    values = np.stack([np.interp(grid, x, y, left=np.nan, right=np.nan) for _, x, y in told], axis=1)
    enough = 2 * np.count_nonzero(~np.isnan(values), axis=1) >= len(told)
    grid, values = grid[enough], values[enough]
    middle = resampled_iqm(values, np.ones((len(told), 1), dtype=np.int16))[:, 0]
    low, high = iqm_band(values, strata([run for run, _, _ in told]), RESAMPLES)
    return Curve(grid, middle, low, high)
