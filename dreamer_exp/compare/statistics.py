"""Statistics of few runs, on arrays: interquartile mean, bootstrap intervals, probability of improvement.

Interquartile means with stratified bootstrap intervals follow Agarwal et al. 2021 (arXiv 2108.13264).

The probability of improvement P (section 4.3 there) is the share of pairs (a run of A, a run of B) in which A's run is
better, ties counted half: the Mann-Whitney statistic U / mn. Its bootstrap interval has no width where all runs of A
beat all of B, which happens easily by chance with a few seeds. The interval used here is Newcombe's (Statistics in
Medicine 25:559, 2006, method 5): all theta that are within z standard deviations of P, with

    var(theta) = theta (1 - theta) [1 + (N - 1) ((1 - theta) / (2 - theta) + theta / (1 + theta))] / (m n)

and N = (m + n) / 2. At theta = 1/2 this is (m + n + 1) / 12 m n, the variance of U / mn without a difference: the
interval excludes 1/2 exactly when the two-sided Mann-Whitney test is significant at 5 %. P has steps of half a pair, so
half a step is subtracted from the distance (continuity correction): three runs against three never decide, four against
four decide if all of one group are better.

With `--by`, runs are paired within equal settings of the other keys, and pairs and variances are summed.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from dreamer_exp.compare.model import Interval

SEED = 0  # of the resampling: equal runs give equal intervals
RESAMPLES = 2000
ENDS = (0.025, 0.975)  # quantiles of the resampled means at the ends of a 95 % interval
Z = 1.959964  # 95 %, two-sided
MOST_SEEDS = 100  # limit of seeds_to_decide

Strata = tuple[tuple[int, ...], ...]
"""Indices of the runs of each stratum."""
Cells = Sequence[tuple[np.ndarray, np.ndarray]]
"""Values of A's and of B's runs, higher is better, for each setting of the other keys; no array is empty."""


def interquartile_mean(values: np.ndarray) -> float:
    """Return the mean without the lowest and the highest quarter, each rounded down; NaN for no values.

    Up to three values give the plain mean. Equal to scipy.stats.trim_mean(values, 0.25), which the paper's library
    uses.
    """
    cut = len(values) // 4
    return float(np.mean(np.sort(values)[cut : len(values) - cut])) if len(values) else float("nan")


def iqm_interval(values: np.ndarray, strata: Strata) -> Interval:
    """Return the interquartile mean with its 95 % stratified percentile bootstrap interval.

    Args:
        values: One value per run [runs].
        strata: A resample draws from each stratum, with replacement, as many runs as it has.

    Returns:
        The interval is NaN for a single value, which has no spread.
    """
    low, high = iqm_band(values[None, :], strata, RESAMPLES)
    return Interval(interquartile_mean(values), float(low[0]), float(high[0]))


def iqm_band(values: np.ndarray, strata: Strata, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the bootstrap intervals of values [points, runs]; NaN where fewer than two runs have one."""
    means = np.sort(resampled_iqm(values, _draw(strata, resamples)), axis=1)  # NaN last
    last = np.count_nonzero(~np.isnan(means), axis=1) - 1
    low, high = (_interpolate(means, share * last) for share in ENDS)
    few = np.count_nonzero(~np.isnan(values), axis=1) < 2
    low[few] = high[few] = np.nan
    return low, high


def resampled_iqm(values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return interquartile means [points, resamples] of values [points, runs].

    `drawn` [runs, resamples] holds how often each resample draws each run. The runs of a point are sorted once; a
    resample weights them by its draws and cuts a quarter of the weight off at each end. NaN where a resample drew no
    run that has a value.
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


def probability_of_improvement(cells: Cells) -> Interval:
    """Return the probability of improvement of A over B with its 95 % interval."""
    sizes = _sizes(cells)
    estimate = sum(_wins(a, b) for a, b in cells) / _pairs(sizes)
    return Interval(estimate, _lower_end(estimate, sizes), 1.0 - _lower_end(1.0 - estimate, sizes))


def seeds_to_decide(cells: Cells) -> int | None:
    """Return how many more runs each group needs in each cell to decide at this P; 0 if it is decided.

    The least k with |P - 1/2| - 1/(2 pairs) > z sqrt(var(1/2)) for groups of m + k and n + k runs; None if MOST_SEEDS
    are not enough.
    """
    distance = abs(probability_of_improvement(cells).estimate - 0.5)
    for more in range(MOST_SEEDS + 1):
        if _excludes(0.5, distance, [(m + more, n + more) for m, n in _sizes(cells)]):
            return more
    return None


@lru_cache(maxsize=256)  # the same for each metric of a group
def _draw(strata: Strata, resamples: int) -> np.ndarray:
    """Return how often each resample draws each run [runs, resamples]."""
    generator = np.random.default_rng(SEED)
    drawn = np.zeros((sum(map(len, strata)), resamples), dtype=np.int16)  # small: each point of a curve reads it
    for stratum in strata:
        share = np.full(len(stratum), 1 / len(stratum))
        drawn[list(stratum)] = generator.multinomial(len(stratum), share, resamples).T
    drawn.flags.writeable = False
    return drawn


def _interpolate(ordered: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return each row's value at a position between two columns [rows]."""
    row, below = np.arange(len(ordered)), position.astype(int)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    weight = position - below
    between: np.ndarray = ordered[row, below] * (1 - weight) + np.where(weight > 0, ordered[row, above], 0.0) * weight
    return between


def _wins(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a[:, None] > b) + 0.5 * np.sum(a[:, None] == b))


def _sizes(cells: Cells) -> list[tuple[int, int]]:
    return [(len(a), len(b)) for a, b in cells]


def _pairs(sizes: Sequence[tuple[int, int]]) -> int:
    return sum(m * n for m, n in sizes)


def _lower_end(estimate: float, sizes: Sequence[tuple[int, int]]) -> float:
    """Return the theta below the estimate that is z standard deviations away, by bisection."""
    low, high = 0.0, estimate
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _excludes(middle, estimate - middle, sizes) else (low, middle)
    return high


def _excludes(theta: float, distance: float, sizes: Sequence[tuple[int, int]]) -> bool:
    """Return whether P at this distance from theta is outside of theta's 95 % interval."""
    pairs = _pairs(sizes)
    return distance - 0.5 / pairs > Z * math.sqrt(sum(_variance(theta, m, n) for m, n in sizes)) / pairs


def _variance(theta: float, m: int, n: int) -> float:
    """Return the variance of the number of pairs won."""
    spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
    return m * n * theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * spread)
