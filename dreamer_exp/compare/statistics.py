"""Interquartile means with stratified bootstrap intervals, as Agarwal et al. 2021 (arXiv 2108.13264) advise."""

from collections.abc import Sequence

import numpy as np

from dreamer_exp.compare.model import Interval

SEED = 0  # of the resampling: equal runs give equal intervals
RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)  # of the resampled means: a 95 % interval


def interquartile_mean(values: np.ndarray) -> float:
    """Mean without the lowest and the highest quarter, each rounded down: with up to 3 values the plain mean.

    This is scipy.stats.trim_mean(values, 0.25), which the paper's library uses. NaN for no values.
    """
    cut = len(values) // 4
    return float(np.mean(np.sort(values)[cut : len(values) - cut])) if len(values) else float("nan")


def iqm_interval(values: np.ndarray, strata: Sequence[np.ndarray]) -> Interval:
    """The interquartile mean [runs] with its 95 % stratified percentile bootstrap interval.

    Args:
        values: one a run.
        strata: indices of the runs of each stratum; a resample draws as many of each as there are, with replacement.

    Returns:
        An interval of NaN for a single value, which tells nothing about its spread.
    """
    low, high = iqm_band(values[None, :], strata, RESAMPLES)
    return Interval(interquartile_mean(values), float(low[0]), float(high[0]))


def iqm_band(values: np.ndarray, strata: Sequence[np.ndarray], resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the bootstrap intervals of values [points, runs]: NaN where fewer than two runs have one."""
    means = resampled_iqm(values, _draw(strata, values.shape[1], resamples))
    ends = np.full((2, len(values)), np.nan)
    told = np.count_nonzero(~np.isnan(values), axis=1)
    whole = told == values.shape[1]
    some = ~whole & (told > 1)  # a resample may draw none of those that have a value
    ends[:, whole] = np.percentile(means[whole], PERCENTILES, axis=1)
    ends[:, some] = np.nanpercentile(means[some], PERCENTILES, axis=1)
    ends[:, told < 2] = np.nan
    return ends[0], ends[1]


def resampled_iqm(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Interquartile means [points, resamples] of values [points, runs], each run taken drawn [runs, resamples] times.

    Each point's runs are sorted once. Going up from the lowest, a resample weighs them by how often it drew them, and
    a quarter of its weight is cut off at each end. NaN where a resample drew no run that has a value.
    """
    order = np.argsort(values, axis=1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=1)
    total = (~np.isnan(values)).astype(np.int32) @ drawn  # [points, resamples]
    cut = total // 4
    below, reached, sums = cut, np.zeros_like(total), np.zeros(total.shape)
    for rank in range(values.shape[1]):
        reached += drawn[order[:, rank]]
        inside = np.clip(reached, cut, total - cut)
        sums += (inside - below) * np.nan_to_num(ordered[:, rank, None])
        below = inside
    with np.errstate(invalid="ignore"):
        sums /= total - 2 * cut
    return sums


def _draw(strata: Sequence[np.ndarray], runs: int, resamples: int) -> np.ndarray:
    """How often each resample takes each run [runs, resamples]."""
    generator = np.random.default_rng(SEED)
    drawn = np.zeros((runs, resamples), dtype=np.int32)
    for stratum in strata:
        share = np.full(len(stratum), 1 / len(stratum))
        drawn[stratum] = generator.multinomial(len(stratum), share, resamples).T
    return drawn
