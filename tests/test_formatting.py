"""Numbers, durations, sizes and texts from anywhere as text."""

import math
import os

import pytest

from dreamer_exp.formatting import (
    age,
    clock,
    count,
    csv_text,
    duration,
    file_size,
    gibibytes,
    markdown_text,
    number,
    parameter_count,
    printable,
    printable_lines,
    shortened,
)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_a_missing_number_is_a_dash(missing: float | None) -> None:
    assert (number(missing, ".2f"), count(missing)) == ("-", "-")


def test_a_number_has_the_given_format_and_a_count_has_thousands_separators() -> None:
    assert (number(0.456, ".0%"), count(12345.0)) == ("46%", "12,345")


@pytest.mark.parametrize(
    ("value", "text"), [(850, "850"), (67_000, "67,000"), (4_288_511, "4.3M"), (9_999_999, "10.0M"), (10**7, "10M")]
)
def test_parameters_are_counted_in_millions(value: int, text: str) -> None:
    assert parameter_count(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.9, "1:05"), (3661, "1:01:01")])
def test_a_clock_has_hours_only_where_needed(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(40.2, "40 s"), (60, "1 min"), (7500, "2 h 5 min"), (3599, "1 h 0 min"), (math.nan, "-")]
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (3 * 3600 + 50, "3 h"), (2.9 * 86400, "2 d")]
)
def test_an_age_has_its_largest_complete_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (812, "812 B"), (1023, "1.0 KiB"), (1.26 * 2**20, "1.3 MiB"), (3e15, "2728.5 TiB")],
)
def test_a_file_size_has_the_unit_that_fits(size_bytes: float, text: str) -> None:
    assert file_size(size_bytes) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(2**29 - 1, "512 MiB"), (2**29, "0.5 GiB"), (4.1 * 2**30, "4.1 GiB")])
def test_memory_is_in_gibibytes_from_half_a_gibibyte_on(size_bytes: int, text: str) -> None:
    assert gibibytes(size_bytes) == text


# texts from anywhere


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünï 漢字 \u00a0", "plain text, ünï 漢字 \u00a0"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\tb\nc\rd\x7f\x9b", r"a\x09b\x0ac\x0dd\x7f\x9b"),
        ("\u202egnp.exe \u2028", r"\u202egnp.exe \u2028"),
        ("\ud800", r"\ud800"),
        (os.fsdecode(b"r\xff"), r"r\xff"),
    ],
)
def test_control_and_format_characters_are_visible(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).encode()


def test_a_text_in_markdown_is_no_html_and_ends_no_cell() -> None:
    shown = markdown_text("crowd_nav | <img src=x onerror=1> `a` [b](c)\n# d" + "x" * 1000)
    assert not set("|<>`[]\n") & set(shown)
    assert shown.startswith("crowd_nav ")
    assert len(shown) < 500


def test_lines_stay_lines() -> None:
    assert printable_lines("a\x07\nb") == "a\\x07\nb"


def test_a_long_text_is_shortened_and_differs_from_another() -> None:
    one, other = shortened("x" * 10**6), shortened("x" * 10**6 + "y")
    assert len(one) == 200
    assert one != other
    assert "(1,000,000 characters" in one
    assert shortened("short") == "short"


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", " =1", "\uff1d1"])
def test_a_formula_in_a_csv_cell_is_a_text(text: str) -> None:
    assert csv_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+2", "-1e-3", "-inf", "a=1", "", "seed=1"])
def test_a_number_and_any_other_text_stay_as_they_are(text: str) -> None:
    assert csv_text(text) == text
