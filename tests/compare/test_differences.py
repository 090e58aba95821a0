"""Differences between runs."""

from dataclasses import replace
from typing import Any

import pytest

from dreamer_exp.compare.differences import as_typed, find_differences
from dreamer_exp.compare.model import Run
from tests.compare.folders import make_run


def with_provenance(**provenance: Any) -> Run:
    return replace(make_run(), provenance=provenance)


def git(commit: str, changes: str | None = None) -> dict[str, Any]:
    return {"commit": commit * 40, "dirty": changes is not None, "diff_sha256": changes}


def differences(*runs: Run, keys: tuple[str, ...] = ()) -> list[tuple[str, str, tuple[tuple[str, int], ...]]]:
    return [(one.kind, one.key, one.values) for one in find_differences(runs, keys)]


def test_equal_runs_have_no_differences() -> None:
    assert differences(make_run(algo__x=1), make_run(algo__x=1), keys=("algo.x",)) == []


def test_key_is_reported_with_the_number_of_runs_for_each_value() -> None:
    runs = [make_run(algo__x=x) for x in (64, 8, 64)]
    expected = [("config", "algo.x", (("8", 1), ("64", 2), ("absent", 1)))]
    assert differences(*runs, make_run(), keys=("algo.x",)) == expected


def test_keys_that_separate_the_same_runs_go_with_the_first() -> None:
    runs = [make_run(a=a, b=b, c=c) for a, b, c in ((1, "x", 1), (2, "y", 1), (2, "y", 2))]
    assert [one.goes_with for one in find_differences(runs, ("a", "b", "c"))] == [None, "a", None]


def test_commits_uncommitted_changes_and_versions_are_reported() -> None:
    packages = {"torch": "2.13.0"}
    runs = [
        with_provenance(git=git("a"), packages=packages),
        with_provenance(git=git("a", "c0ffee" * 10), packages=packages),
        with_provenance(git=git("b"), packages={"torch": "2.12.0"}),
    ]
    assert differences(*runs) == [
        ("code", "git", (("aaaaaaaaaa", 1), ("aaaaaaaaaa + changes c0ffeec0ff", 1), ("bbbbbbbbbb", 1))),
        ("code", "torch", (("2.12.0", 1), ("2.13.0", 2))),
    ]


def test_hardware_is_reported() -> None:
    runs = [with_provenance(machine={"cpu_name": name, "cpus": 8}, gpu_names=["H100"]) for name in ("EPYC", "Xeon")]
    assert differences(*runs) == [("hardware", "CPU", (("EPYC", 1), ("Xeon", 1)))]


def test_runs_without_provenance_have_no_differences_of_code() -> None:
    assert differences(with_provenance(python="3.11.7"), make_run()) == []


def test_foreign_provenance_is_ignored() -> None:
    odd = with_provenance(git="none", packages=[1], machine=7)
    assert differences(odd, with_provenance(git=None, packages={}, machine={})) == []


def test_states_are_reported() -> None:
    runs = [make_run(), replace(make_run(), state="failed")]
    assert differences(*runs) == [("status", "state", (("failed", 1), ("finished", 1)))]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0001, "0.0001"), (32.0, "32"), (0.1234567, "0.1234567"), (True, "true"), (None, "null"), ([], "none"),
     (["a", 1], "a,1"), (100_000, "100000"), ("auto", "auto")],
)  # fmt: skip
def test_values_are_spelled_as_on_the_command_line(value: Any, text: str) -> None:
    assert as_typed(value) == text
