"""Amounts of memory such as `8 GiB`."""

import pytest

from dreamer_exp.config.byte_sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8 GiB", 8 * 2**30),
        ("8GiB", 8 * 2**30),
        ("500 MB", 500_000_000),
        ("500 mb", 500_000_000),
        ("2e9 B", 2_000_000_000),
        ("1_000 KiB", 1_024_000),
        ("1.5 GiB", 3 * 2**29),
        ("2 TB", 2 * 10**12),
        ("0 B", 0),
    ],
)
def test_amount_is_parsed_as_number_times_unit(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "8", "GiB", "8 X", "8 GiBs", "-1 B", "8 8 GiB", "1e-3 GiB", "auto", "inf GB"])
def test_text_that_is_not_an_amount_gives_none(text: str) -> None:
    assert parse_bytes(text) is None
