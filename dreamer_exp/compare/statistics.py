"""Interquartile means with stratified bootstrap intervals, as Agarwal et al. 2021 (arXiv 2108.13264) advise."""

from functools import lru_cache

import numpy as np

from dreamer_exp.compare.model import Interval

SEED = 0  # of the resampling: equal runs give equal intervals
RESAMPLES = 2000
ENDS = (0.025, 0.975)  # shares of the resampled means that lie below the ends of a 95 % interval


Strata = tuple[tuple[int, ...], ...]
"""Indices of the runs of each stratum."""


def interquartile_mean(values: np.ndarray) -> float:
    """Mean without the lowest and the highest quarter, each rounded down: with up to 3 values the plain mean.

    This is scipy.stats.trim_mean(values, 0.25), which the paper's library uses. NaN for no values.
    """
    cut = len(values) // 4
    return float(np.mean(np.sort(values)[cut : len(values) - cut])) if len(values) else float("nan")


def iqm_interval(values: np.ndarray, strata: Strata) -> Interval:
    """The interquartile mean [runs] with its 95 % stratified percentile bootstrap interval.

    Args:
        values: one a run.
        strata: of which a resample draws as many runs as each has, with replacement.

    Returns:
        An interval of NaN for a single value, which tells nothing about its spread.
    """
    low, high = iqm_band(values[None, :], strata, RESAMPLES)
    return Interval(interquartile_mean(values), float(low[0]), float(high[0]))


def iqm_band(values: np.ndarray, strata: Strata, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the bootstrap intervals of values [points, runs]: NaN where fewer than two runs have one."""
    means = np.sort(resampled_iqm(values, _draw(strata, resamples)), axis=1)  # NaN last
    last = np.count_nonzero(~np.isnan(means), axis=1) - 1
    low, high = (_at(means, share * last) for share in ENDS)
    few = np.count_nonzero(~np.isnan(values), axis=1) < 2
    low[few] = high[few] = np.nan
    return low, high


def resampled_iqm(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Interquartile means [points, resamples] of values [points, runs], each run taken drawn [runs, resamples] times.

    Each point's runs are sorted once. Going up from the lowest, a resample weighs them by how often it drew them, and
    a quarter of its weight is cut off at each end. NaN where a resample drew no run that has a value.
    """
    order = np.argsort(values, axis=1)  # NaN last
    ordered = np.nan_to_num(np.take_along_axis(values, order, axis=1))
    total = ((~np.isnan(values)).astype(np.float32) @ drawn.astype(np.float32)).astype(drawn.dtype)
    cut = total // 4
    top = total - cut
    below, reached, sums = cut, np.zeros_like(total), np.zeros(total.shape)
    for rank in range(values.shape[1]):
        reached += drawn[order[:, rank]]
        inside = np.minimum(np.maximum(reached, cut), top)
        sums += (inside - below) * ordered[:, rank, None]
        below = inside
    with np.errstate(invalid="ignore"):
        sums /= top - cut
    return sums


@lru_cache(maxsize=256)  # for each metric of a group the same
def _draw(strata: Strata, resamples: int) -> np.ndarray:
    """How often each resample takes each run [runs, resamples]."""
    generator = np.random.default_rng(SEED)
    drawn = np.zeros((sum(map(len, strata)), resamples), dtype=np.int16)  # small: every point of a curve goes over them
    for stratum in strata:
        share = np.full(len(stratum), 1 / len(stratum))
        drawn[list(stratum)] = generator.multinomial(len(stratum), share, resamples).T
    drawn.flags.writeable = False
    return drawn


def _at(ordered: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Each row's value at a position between two columns [rows]."""
    row, below = np.arange(len(ordered)), position.astype(int)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    weight = position - below
    between: np.ndarray = ordered[row, below] * (1 - weight) + np.where(weight > 0, ordered[row, above], 0.0) * weight
    return between
