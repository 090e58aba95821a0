"""Interquartile means with stratified bootstrap intervals, as Agarwal et al. 2021 (arXiv 2108.13264) advise."""

from collections.abc import Sequence

import numpy as np

from dreamer_exp.compare.model import Interval

SEED = 0  # of the resampling: equal runs give equal intervals
RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)  # of the resampled means: a 95 % interval
AT_ONCE = 2_000_000  # numbers that one step of the resampling holds


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
    drawn = _draw(strata, values.shape[1], resamples)
    ends = np.full((2, len(values)), np.nan)
    step = max(1, AT_ONCE // max(1, drawn.size))
    for first in range(0, len(values), step):
        part = values[first : first + step]
        ends[:, first : first + step] = np.nanpercentile(resampled_iqm(part, drawn), PERCENTILES, axis=1)
    ends[:, np.count_nonzero(~np.isnan(values), axis=1) < 2] = np.nan
    return ends[0], ends[1]


def resampled_iqm(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Interquartile means [points, resamples] of values [points, runs], each run taken drawn [resamples, runs] times.

    Each point's runs are sorted once; a resample then weighs them by how often it drew them, and the quarters at both
    ends are cut off the weights. NaN where a resample drew none that has a value.
    """
    order = np.argsort(values, axis=1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=1)
    drawn_ordered = np.moveaxis(drawn[:, order], 0, 1)  # [points, resamples, runs]
    drawn_ordered = drawn_ordered * ~np.isnan(ordered)[:, None, :]
    reached = np.cumsum(drawn_ordered, axis=2)
    total = reached[:, :, -1:]
    cut = total // 4
    inside = np.diff(np.clip(reached, cut, total - cut), axis=2, prepend=cut)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.einsum("prn,pn->pr", inside, np.nan_to_num(ordered)) / (total - 2 * cut)[:, :, 0]
    return means


def _draw(strata: Sequence[np.ndarray], runs: int, resamples: int) -> np.ndarray:
    """How often each resample takes each run [resamples, runs]."""
    generator = np.random.default_rng(SEED)
    drawn = np.zeros((resamples, runs), dtype=np.int32)
    for stratum in strata:
        drawn[:, stratum] = generator.multinomial(len(stratum), np.full(len(stratum), 1 / len(stratum)), resamples)
    return drawn
