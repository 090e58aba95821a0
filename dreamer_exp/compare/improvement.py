"""Which of two groups is better: the probability of improvement, its interval, and the seeds that would decide it.

P is the share of pairs (a run of A, a run of B) in which A's run is better, ties counted half: Agarwal et al. 2021
(arXiv 2108.13264, section 4.3), the Mann-Whitney statistic U / mn. Its bootstrap interval has no width where all runs
of A beat all of B, as a few seeds easily do by chance; so the interval here is Newcombe's (Statistics in Medicine
25:559, 2006, method 5): all theta that are no further from P than z standard deviations, with

    var(theta) = theta (1 - theta) [1 + (N - 1) ((1 - theta) / (2 - theta) + theta / (1 + theta))] / (m n)

and N = (m + n) / 2. At theta = 1/2 this is the variance (m + n + 1) / 12 m n of U / mn without a difference: the
interval leaves out 1/2 exactly when the two-sided Mann-Whitney test is significant at 5 %. P moves in steps of half a
pair, so that half a step is taken off the distance (continuity correction): three runs against three never decide,
four against four do when all of one are better.

Under `--by`, runs are paired within equal settings of the other keys, and pairs and variances are added up.
"""

import math
from collections.abc import Sequence

import numpy as np

from dreamer_exp.compare.model import Interval

Z = 1.959964  # 95 %, two-sided
MOST_SEEDS = 100  # more is no advice
Cells = Sequence[tuple[np.ndarray, np.ndarray]]
"""Values of A's and of B's runs, higher is better, for each setting of the other keys; none of them is empty."""


def probability(cells: Cells) -> Interval:
    """The probability of improvement of A over B with its 95 % interval."""
    estimate = sum(_wins(a, b) for a, b in cells) / _pairs(_sizes(cells))
    sizes = _sizes(cells)
    return Interval(estimate, _low(estimate, sizes), 1.0 - _low(1.0 - estimate, sizes))


def seeds_to_decide(cells: Cells) -> int | None:
    """How many more runs each group needs in each cell until P, if it stays, is decided: 0 where it is.

    The least k with |P - 1/2| - 1/(2 pairs) > z sqrt(var(1/2)) for groups of m + k and n + k runs; None where even
    MOST_SEEDS would not do.
    """
    away = abs(probability(cells).estimate - 0.5)
    for more in range(MOST_SEEDS + 1):
        if _outside(away, 0.5, [(m + more, n + more) for m, n in _sizes(cells)]):
            return more
    return None


def _wins(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a[:, None] > b) + 0.5 * np.sum(a[:, None] == b))


def _sizes(cells: Cells) -> list[tuple[int, int]]:
    return [(len(a), len(b)) for a, b in cells]


def _pairs(sizes: Sequence[tuple[int, int]]) -> int:
    return sum(m * n for m, n in sizes)


def _low(estimate: float, sizes: Sequence[tuple[int, int]]) -> float:
    """The interval's lower end: where the distance to the estimate is z standard deviations."""
    low, high = 0.0, estimate
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _outside(estimate - middle, middle, sizes) else (low, middle)
    return high


def _outside(distance: float, theta: float, sizes: Sequence[tuple[int, int]]) -> bool:
    """Whether P is further from theta than chance explains."""
    pairs = _pairs(sizes)
    return distance - 0.5 / pairs > Z * math.sqrt(sum(_variance(theta, m, n) for m, n in sizes)) / pairs


def _variance(theta: float, m: int, n: int) -> float:
    """Of the number of pairs won."""
    spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
    return m * n * theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * spread)
