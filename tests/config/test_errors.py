"""The one-line form of an exception."""

import pytest

from dreamer_exp.config.errors import first_line, typed_line


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("no such file", "no such file"),
        ("\n  two faults  \nsecond\n", "two faults"),
        ("cannot compile:\n  missing header\nmore", "cannot compile: missing header"),
        ("ends with a colon:", "ends with a colon:"),
    ],
)
def test_first_line_is_the_first_nonempty_line(message: str, line: str) -> None:
    assert first_line(ValueError(message)) == first_line(message) == line


def test_error_without_a_message_is_described_by_its_type_or_by_the_given_text() -> None:
    assert first_line(AssertionError()) == "AssertionError"
    assert first_line(AssertionError(), "no message") == "no message"
    assert typed_line(AssertionError()) == "AssertionError: no message"


def test_typed_line_begins_with_the_type() -> None:
    assert typed_line(ValueError("wrong\nat line 3")) == "ValueError: wrong"
