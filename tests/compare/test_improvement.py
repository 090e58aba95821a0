"""The probability of improvement, its interval, and the seeds that would decide it."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.compare.improvement import MOST_SEEDS, probability, seeds_to_decide

Cell = tuple[np.ndarray, np.ndarray]


def cell(a: list[float], b: list[float]) -> Cell:
    return np.array(a), np.array(b)


def better(m: int, n: int) -> Cell:
    """Every run of A beats every run of B."""
    return np.arange(m) + 100.0, np.arange(n) + 0.0


def test_it_is_the_share_of_pairs_won_with_ties_counted_half() -> None:
    assert probability([cell([3.0, 1.0], [2.0, 1.0])]).estimate == (2 + 0.5) / 4


def test_the_other_way_round_it_is_the_rest_and_so_is_its_interval() -> None:
    one, other = probability([cell([3.0, 1.0, 5.0], [2.0, 0.0])]), probability([cell([2.0, 0.0], [3.0, 1.0, 5.0])])
    assert other.estimate == pytest.approx(1 - one.estimate)
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-5)


values = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=8)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=4))
def test_the_interval_leaves_out_a_half_exactly_where_it_is_decided(
    cells: list[tuple[list[float], list[float]]],
) -> None:
    arrays = [cell(a, b) for a, b in cells]
    found = probability(arrays)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert (seeds_to_decide(arrays) == 0) == (found.low > 0.5 or found.high < 0.5)


@pytest.mark.parametrize("m", range(1, 6))
@pytest.mark.parametrize("n", range(1, 6))
def test_for_few_runs_it_decides_as_the_exact_mann_whitney_test(m: int, n: int) -> None:
    """All of A beat all of B: of the equally likely orders without a difference, this one and its mirror."""
    orders = len(list(combinations(range(m + n), m)))
    assert (seeds_to_decide([better(m, n)]) == 0) == (2 / orders <= 0.05)


def test_three_against_three_are_one_seed_short() -> None:
    assert seeds_to_decide([better(3, 3)]) == 1


def test_a_single_run_each_needs_three_more() -> None:
    found = probability([better(1, 1)])
    assert found.estimate == 1
    assert found.low < 0.1
    assert seeds_to_decide([better(1, 1)]) == 3


def test_the_less_clear_the_more_seeds() -> None:
    clear = cell([1.0, 2.0, 3.0, 5.0], [0.0, 0.5, 1.5, 2.5])
    unclear = cell([1.0, 2.0, 3.0, 5.0], [0.0, 1.5, 2.5, 4.0])
    assert (probability([clear]).estimate, probability([unclear]).estimate) == (13 / 16, 10 / 16)
    few, many = seeds_to_decide([clear]), seeds_to_decide([unclear])
    assert few is not None
    assert many is not None
    assert 0 < few < many


def test_equal_groups_are_never_decided() -> None:
    assert seeds_to_decide([cell([1.0, 2.0], [1.0, 2.0])]) is None
    assert MOST_SEEDS >= 100


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    """Two normal groups half a standard deviation apart: P = 0.638 (Phi(0.5 / sqrt 2))."""
    generator = np.random.default_rng(0)
    found = [probability([(generator.normal(0.5, 1, 6), generator.normal(0, 1, 6))]) for _ in range(400)]
    assert np.mean([one.low <= 0.6382 <= one.high for one in found]) >= 0.95


def test_without_a_difference_one_verdict_in_twenty_or_less_is_wrong() -> None:
    generator = np.random.default_rng(0)
    verdicts = [seeds_to_decide([(generator.normal(size=5), generator.normal(size=5))]) == 0 for _ in range(1000)]
    assert np.mean(verdicts) <= 0.05


def test_cells_are_paired_within_themselves() -> None:
    """B is better in each setting, but A ran more often in the easy one: pooled, that would hide it."""
    easy, hard = cell([10.0, 11.0, 12.0], [13.0]), cell([1.0], [2.0, 3.0, 4.0])
    assert probability([easy, hard]).estimate == 0
    assert probability([cell([10.0, 11.0, 12.0, 1.0], [13.0, 2.0, 3.0, 4.0])]).estimate > 0.5


def test_six_settings_of_one_seed_decide_as_a_sign_test() -> None:
    assert seeds_to_decide([better(1, 1)] * 5) != 0
    assert seeds_to_decide([better(1, 1)] * 6) == 0
