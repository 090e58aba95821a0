"""Interquartile mean, bootstrap intervals, probability of improvement."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.compare.statistics import (
    MOST_SEEDS,
    interquartile_mean,
    iqm_band,
    iqm_interval,
    probability_of_improvement,
    resampled_iqm,
    seeds_to_decide,
)

Cell = tuple[np.ndarray, np.ndarray]

# ------------------------------------------------------------------------------ interquartile mean and bootstrap


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 9.0], 4.0),  # a quarter of 3, rounded down, is 0
        ([9.0, 1.0, 2.0, 4.0], 3.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0], 3.5),
    ],
)
def test_interquartile_mean_omits_a_quarter_at_each_end(values: list[float], mean: float) -> None:
    assert interquartile_mean(np.array(values)) == mean


def test_interquartile_mean_of_no_values_is_nan() -> None:
    assert np.isnan(interquartile_mean(np.array([])))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=9),
    st.integers(0, 2**31),
)
def test_resampled_mean_is_the_mean_of_the_drawn_runs(values: list[float], seed: int) -> None:
    drawn = np.random.default_rng(seed).multinomial(len(values), [1 / len(values)] * len(values), 5).T.astype(np.int16)
    means = resampled_iqm(np.array([values]), drawn)[0]
    for mean, times in zip(means, drawn.T, strict=True):
        taken = np.repeat(values, times)
        np.testing.assert_allclose(mean, interquartile_mean(taken[~np.isnan(taken)]), rtol=1e-9, atol=1e-6)


def one_stratum(count: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(count)),)


def test_interval_of_equal_runs_has_no_width() -> None:
    interval = iqm_interval(np.array([2.0, 2.0, 2.0, 2.0]), one_stratum(4))
    assert (interval.low, interval.estimate, interval.high) == (2.0, 2.0, 2.0)


def test_interval_is_deterministic() -> None:
    values = np.random.default_rng(1).normal(size=10)
    assert iqm_interval(values, one_stratum(10)) == iqm_interval(values, one_stratum(10))


def test_single_run_has_no_interval() -> None:
    interval = iqm_interval(np.array([2.0]), one_stratum(1))
    assert interval.estimate == 2.0
    assert np.isnan([interval.low, interval.high]).all()


def test_nineteen_of_twenty_intervals_hold_the_true_value() -> None:
    """400 trials of 20 runs of a symmetric distribution, whose interquartile mean is 0."""
    generator = np.random.default_rng(0)
    low, high = iqm_band(generator.normal(size=(400, 20)), one_stratum(20), 500)
    assert 0.90 <= np.mean((low <= 0) & (high >= 0)) <= 0.97  # a percentile bootstrap of 20 is a little narrow


def test_strata_are_resampled_separately() -> None:
    """Two settings of equal runs: the runs spread as one stratum, but not within their own strata."""
    values = np.array([0.0, 0.0, 10.0, 10.0])
    pooled, stratified = iqm_interval(values, one_stratum(4)), iqm_interval(values, ((0, 1), (2, 3)))
    assert pooled.high - pooled.low > 5
    assert (stratified.low, stratified.high) == (5.0, 5.0)


# ------------------------------------------------------------------------------------- probability of improvement


def cell(a: list[float], b: list[float]) -> Cell:
    return np.array(a), np.array(b)


def all_better(m: int, n: int) -> Cell:
    """Return a cell in which every run of A beats every run of B."""
    return np.arange(m) + 100.0, np.arange(n) + 0.0


def test_probability_is_the_share_of_pairs_won_with_ties_counted_half() -> None:
    assert probability_of_improvement([cell([3.0, 1.0], [2.0, 1.0])]).estimate == (2 + 0.5) / 4


def test_probability_and_interval_are_mirrored_for_swapped_groups() -> None:
    one = probability_of_improvement([cell([3.0, 1.0, 5.0], [2.0, 0.0])])
    other = probability_of_improvement([cell([2.0, 0.0], [3.0, 1.0, 5.0])])
    assert other.estimate == pytest.approx(1 - one.estimate)
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-5)


values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=8)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_interval_excludes_one_half_exactly_if_decided(cells: list[tuple[list[float], list[float]]]) -> None:
    arrays = [cell(a, b) for a, b in cells]
    found = probability_of_improvement(arrays)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert (seeds_to_decide(arrays) == 0) == (found.low > 0.5 or found.high < 0.5)


@pytest.mark.parametrize("m", range(1, 6))
@pytest.mark.parametrize("n", range(1, 6))
def test_decision_for_few_runs_equals_the_exact_mann_whitney_test(m: int, n: int) -> None:
    """All of A beat all of B: one of the equally likely orders without a difference, and its mirror."""
    orders = len(list(combinations(range(m + n), m)))
    assert (seeds_to_decide([all_better(m, n)]) == 0) == (2 / orders <= 0.05)


def test_three_against_three_need_one_more_seed() -> None:
    assert seeds_to_decide([all_better(3, 3)]) == 1


def test_one_against_one_needs_three_more_seeds() -> None:
    found = probability_of_improvement([all_better(1, 1)])
    assert found.estimate == 1
    assert found.low < 0.1
    assert seeds_to_decide([all_better(1, 1)]) == 3


def test_less_clear_difference_needs_more_seeds() -> None:
    clear = [cell([1.0, 2.0, 3.0, 5.0], [0.0, 0.5, 1.5, 2.5])]
    unclear = [cell([1.0, 2.0, 3.0, 5.0], [0.0, 1.5, 2.5, 4.0])]
    estimates = probability_of_improvement(clear).estimate, probability_of_improvement(unclear).estimate
    assert estimates == (13 / 16, 10 / 16)
    few, many = seeds_to_decide(clear), seeds_to_decide(unclear)
    assert few is not None
    assert many is not None
    assert 0 < few < many


def test_equal_groups_are_never_decided() -> None:
    assert seeds_to_decide([cell([1.0, 2.0], [1.0, 2.0])]) is None
    assert MOST_SEEDS >= 100


def test_interval_of_the_probability_holds_the_true_value_nineteen_times_in_twenty() -> None:
    """Two normal groups half a standard deviation apart: P = 0.638 (Phi(0.5 / sqrt 2))."""
    generator = np.random.default_rng(0)
    trials = [[(generator.normal(0.5, 1, 6), generator.normal(0, 1, 6))] for _ in range(400)]
    found = [probability_of_improvement(cells) for cells in trials]
    assert np.mean([one.low <= 0.6382 <= one.high for one in found]) >= 0.95


def test_at_most_one_verdict_in_twenty_is_wrong_without_a_difference() -> None:
    generator = np.random.default_rng(0)
    verdicts = [seeds_to_decide([(generator.normal(size=5), generator.normal(size=5))]) == 0 for _ in range(1000)]
    assert np.mean(verdicts) <= 0.05


def test_runs_are_paired_within_cells() -> None:
    """B is better in each setting, but A ran more often in the easy one: pooling would hide it."""
    easy, hard = cell([10.0, 11.0, 12.0], [13.0]), cell([1.0], [2.0, 3.0, 4.0])
    assert probability_of_improvement([easy, hard]).estimate == 0
    pooled = cell([10.0, 11.0, 12.0, 1.0], [13.0, 2.0, 3.0, 4.0])
    assert probability_of_improvement([pooled]).estimate > 0.5


def test_six_settings_of_one_seed_decide_like_a_sign_test() -> None:
    assert seeds_to_decide([all_better(1, 1)] * 5) != 0
    assert seeds_to_decide([all_better(1, 1)] * 6) == 0
