"""Parsing of JSON and YAML with limits."""

import json
import time
import tracemalloc

import pytest

from dreamer_exp.rundir.parse import (
    MAX_DEPTH,
    MAX_YAML_EVENTS,
    Unparsable,
    parse_json,
    parse_object,
    parse_row,
    parse_yaml,
)

NESTED = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (NESTED, "aliases"),
        ("a: &a {b: *a}", "aliases"),
        ("a: &a 1\nb: *a", "aliases"),
        ("{a: " * 200 + "1" + "}" * 200, "levels"),
        ("[" * 500_000, "levels"),
        ("- " * 250_000, "levels"),
        ("? " * 250_000, "levels"),
        ("".join(f"k{i}: 1\n" for i in range(MAX_YAML_EVENTS)), "nodes"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read"),
        (f"a: {'9' * 5000}", "cannot be read"),
        ("a: 2026-13-45", "cannot be read"),
        ("[a, b]: 1\n? {c: d}\n: 2", "cannot be read"),
        ('a: "\\ud800"', "cannot be read"),
    ],
)
def test_a_bomb_of_yaml_is_refused_in_bounded_time_and_memory(content: str, reason: str) -> None:
    begin = time.process_time()
    tracemalloc.start()
    with pytest.raises(Unparsable, match=reason):
        parse_yaml(content.encode())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 100 * 2**20
    assert time.process_time() - begin < 2


def test_yaml_of_plain_values_is_read() -> None:
    assert parse_yaml(b"a: [1, 2.5, x, null, true]\nb: {c: ''}") == {"a": [1, 2.5, "x", None, True], "b": {"c": ""}}


def test_an_interpolation_is_a_text() -> None:
    assert parse_yaml(b"a: ${oc.env:HOME}") == {"a": "${oc.env:HOME}"}


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 900, 100_000])
def test_deep_json_is_refused(levels: int) -> None:
    with pytest.raises(Unparsable):
        parse_json("[" * levels + "]" * levels)
    assert parse_object('{"a": ' * levels + "1" + "}" * levels) is None


def test_json_of_our_depth_is_read() -> None:
    tree = json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json(json.dumps(tree)) == tree


def test_a_row_of_thousands_of_keys_is_not_a_row() -> None:
    assert parse_row(json.dumps({"env_steps": 1} | {f"k{i}": 1 for i in range(900)}).encode()) is not None
    assert parse_row(json.dumps({"env_steps": 1} | {f"k{i}": 1 for i in range(2000)}).encode()) is None
