"""Interquartile means and their bootstrap intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.compare.curves import curve
from dreamer_exp.compare.group import strata
from dreamer_exp.compare.statistics import interquartile_mean, iqm_band, iqm_interval, resampled_iqm
from tests.compare.folders import made_run


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0, 9.0], 4.0),  # a quarter of 3, rounded down, is none
        ([9.0, 1.0, 2.0, 4.0], 3.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0], 3.5),
    ],
)
def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end(values: list[float], mean: float) -> None:
    assert interquartile_mean(np.array(values)) == mean


def test_of_nothing_it_is_nan() -> None:
    assert np.isnan(interquartile_mean(np.array([])))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=9),
    st.integers(0, 2**31),
)
def test_a_resamples_mean_is_that_of_the_runs_drawn(values: list[float], seed: int) -> None:
    drawn = np.random.default_rng(seed).multinomial(len(values), [1 / len(values)] * len(values), 5).T.astype(np.int16)
    means = resampled_iqm(np.array([values]), drawn)[0]
    for mean, times in zip(means, drawn.T, strict=True):
        taken = np.repeat(values, times)
        np.testing.assert_allclose(mean, interquartile_mean(taken[~np.isnan(taken)]), rtol=1e-9, atol=1e-6)


def everything(count: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(count)),)


def test_equal_runs_have_an_interval_without_width() -> None:
    interval = iqm_interval(np.array([2.0, 2.0, 2.0, 2.0]), everything(4))
    assert (interval.low, interval.estimate, interval.high) == (2.0, 2.0, 2.0)


def test_the_interval_is_the_same_every_time() -> None:
    values = np.random.default_rng(1).normal(size=10)
    assert iqm_interval(values, everything(10)) == iqm_interval(values, everything(10))


def test_a_single_run_has_no_interval() -> None:
    interval = iqm_interval(np.array([2.0]), everything(1))
    assert interval.estimate == 2.0
    assert np.isnan([interval.low, interval.high]).all()


def test_nineteen_of_twenty_intervals_hold_the_true_value() -> None:
    """Over 20 runs of a symmetric distribution, whose interquartile mean is 0; 95 % within what 400 trials tell."""
    generator = np.random.default_rng(0)
    low, high = iqm_band(generator.normal(size=(400, 20)), everything(20), 500)
    assert 0.90 <= np.mean((low <= 0) & (high >= 0)) <= 0.97  # a percentile bootstrap of 20 is a little narrow


def test_strata_are_resampled_each_within_itself() -> None:
    """Two settings whose runs agree: taken together they spread, by strata not at all."""
    values = np.array([0.0, 0.0, 10.0, 10.0])
    together, apart = iqm_interval(values, everything(4)), iqm_interval(values, ((0, 1), (2, 3)))
    assert together.high - together.low > 5
    assert (apart.low, apart.high) == (5.0, 5.0)


def test_strata_are_the_settings_whatever_the_seed() -> None:
    runs = [made_run(algo__x=x, run__seed=seed) for x, seed in ((1, 1), (2, 1), (1, 2), (2, 2))]
    assert strata(runs) == ((0, 2), (1, 3))


def test_settings_of_one_run_are_resampled_together_as_none_has_a_spread_of_its_own() -> None:
    runs = [made_run(algo__x=x, run__seed=seed) for x, seed in ((1, 1), (2, 1), (1, 2))]
    assert strata(runs) == ((0, 1, 2),)


def test_a_curve_is_on_a_grid_from_the_first_value_to_the_last() -> None:
    found = curve([made_run(values=[0.0, 1.0]), made_run(values=[2.0, 3.0])], "figure", "env_steps", points=3)
    assert found.x.tolist() == [100.0, 150.0, 200.0]
    assert found.middle.tolist() == [1.0, 1.5, 2.0]
    assert (found.low <= found.middle).all()
    assert (found.high >= found.middle).all()
    assert found.low[0] < found.high[0]


def test_a_curve_over_wall_time_is_in_seconds() -> None:
    assert curve([made_run(values=[0.0, 1.0])], "figure", "wall", points=2).x.tolist() == [10.0, 20.0]


def test_past_its_end_a_run_counts_no_more() -> None:
    found = curve([made_run(values=[0.0, 0.0]), made_run(values=[2.0, 2.0, 2.0])], "figure", "env_steps", points=3)
    assert found.middle.tolist() == [1.0, 1.0, 2.0]
    assert np.isnan(found.low).tolist() == [False, False, True]


def test_a_curve_ends_where_less_than_half_of_its_runs_go_on() -> None:
    runs = [made_run(values=[0.0, 0.0]), made_run(values=[2.0, 2.0]), made_run(values=[9.0, 9.0, 9.0])]
    assert curve(runs, "figure", "env_steps", points=3).x.tolist() == [100.0, 200.0]


def test_a_curve_of_one_run_has_no_interval() -> None:
    found = curve([made_run(values=[0.0, 1.0])], "figure", "env_steps", points=2)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()


def test_runs_without_a_value_make_an_empty_curve() -> None:
    found = curve([made_run()], "other", "env_steps")
    assert [len(part) for part in (found.x, found.middle, found.low, found.high)] == [0, 0, 0, 0]
