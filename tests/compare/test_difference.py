"""What differs between runs."""

from dataclasses import replace
from typing import Any

import pytest

from dreamer_exp.compare.difference import differences, word
from dreamer_exp.compare.model import Run
from tests.compare.folders import made_run


def of_code(**provenance: Any) -> Run:
    return replace(made_run(), provenance=provenance)


def git(commit: str, changes: str | None = None) -> dict[str, Any]:
    return {"commit": commit * 40, "dirty": changes is not None, "diff_sha256": changes}


def told(*runs: Run, keys: tuple[str, ...] = ()) -> list[tuple[str, str, tuple[tuple[str, int], ...]]]:
    return [(one.kind, one.key, one.values) for one in differences(runs, keys)]


def test_runs_that_agree_differ_in_nothing() -> None:
    assert told(made_run(algo__x=1), made_run(algo__x=1), keys=("algo.x",)) == []


def test_a_key_is_told_with_its_values_and_how_many_runs_have_each() -> None:
    runs = [made_run(algo__x=x) for x in (64, 8, 64)]
    assert told(*runs, made_run(), keys=("algo.x",)) == [("config", "algo.x", (("8", 1), ("64", 2), ("absent", 1)))]


def test_keys_that_tell_the_same_runs_apart_go_with_the_first() -> None:
    runs = [made_run(a=a, b=b, c=c) for a, b, c in ((1, "x", 1), (2, "y", 1), (2, "y", 2))]
    assert [one.goes_with for one in differences(runs, ("a", "b", "c"))] == [None, "a", None]


def test_commits_uncommitted_changes_and_versions_are_told() -> None:
    packages = {"torch": "2.13.0"}
    runs = [
        of_code(git=git("a"), packages=packages),
        of_code(git=git("a", "c0ffee" * 10), packages=packages),
        of_code(git=git("b"), packages={"torch": "2.12.0"}),
    ]
    assert told(*runs) == [
        ("code", "git", (("aaaaaaaaaa", 1), ("aaaaaaaaaa + changes c0ffeec0ff", 1), ("bbbbbbbbbb", 1))),
        ("code", "torch", (("2.12.0", 1), ("2.13.0", 2))),
    ]


def test_hardware_is_told() -> None:
    runs = [of_code(machine={"cpu_name": name, "cpus": 8}, gpu_names=["H100"]) for name in ("EPYC", "Xeon")]
    assert told(*runs) == [("hardware", "CPU", (("EPYC", 1), ("Xeon", 1)))]


def test_runs_without_provenance_are_no_difference_of_code() -> None:
    assert told(of_code(python="3.11.7"), made_run()) == []


def test_foreign_provenance_is_survived() -> None:
    assert told(of_code(git="none", packages=[1], machine=7), of_code(git=None, packages={}, machine={})) == []


def test_states_are_told() -> None:
    runs = [made_run(), replace(made_run(), state="failed")]
    assert told(*runs) == [("status", "state", (("failed", 1), ("finished", 1)))]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0001, "0.0001"), (32.0, "32"), (0.1234567, "0.1234567"), (True, "true"), (None, "null"), ([], "none"),
     (["a", 1], "a,1"), (100_000, "100000"), ("auto", "auto")],
)  # fmt: skip
def test_a_value_is_written_as_it_is_typed(value: Any, text: str) -> None:
    assert word(value) == text
