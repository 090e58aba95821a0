"""Confidence intervals of rates."""

import math


def wilson_interval(successes: int, trials: int, z: float = 1.959964) -> list[float] | None:
    """Return Wilson's score interval [low, high] of a rate; None without trials.

    Source: E. B. Wilson, JASA 22:209, 1927, eq. 3. `z` = 1.96 is a level of 95 %.
    """
    if trials == 0:
        return None
    rate, shrink = successes / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / shrink
    # rounding can miss the exact ends
    return [0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half]
