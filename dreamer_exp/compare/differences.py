"""Differences between runs: config keys, code (commits, versions), hardware and states."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dreamer_exp.compare.model import Difference, Run
from dreamer_exp.formatting import shortened

ABSENT = "absent"  # value of a key that a run does not have
COMMIT_DIGITS = 10


def find_differences(runs: Sequence[Run], keys: Sequence[str]) -> tuple[Difference, ...]:
    """Return which of these config keys, and which properties of code, hardware and state, differ between runs."""
    known = [run for run in runs if run.provenance]
    configs = [{key: run.config.get(key, ABSENT) for key in keys} for run in runs if run.config]
    return (
        *_differing("config", configs),
        *_differing("code", [code_of(run) for run in known]),
        *_differing("hardware", [hardware_of(run) for run in known]),
        *_differing("status", [{"state": run.state} for run in runs]),
    )


def code_of(run: Run) -> dict[str, Any]:
    """Return commits, uncommitted changes (first digits of their hash) and versions."""
    provenance = run.provenance
    return {
        "git": _commit(provenance.get("git")),
        "robot_sf git": _commit(provenance.get("robot_sf_git")),
        **{name: provenance.get(name) for name in ("dreamer_exp", "python")},
        **_mapping(provenance.get("packages")),
    }


def hardware_of(run: Run) -> dict[str, Any]:
    """Return the processor, the GPUs and the learner's devices."""
    machine = _mapping(run.provenance.get("machine"))
    return {
        "CPU": machine.get("cpu_name"),
        "CPU cores": machine.get("cpus"),
        "GPUs": run.provenance.get("gpu_names"),
        "learner on": run.provenance.get("learner_devices"),
        "backend": run.provenance.get("backend"),  # as used; algo.backend is the requested value
        "platform": machine.get("platform"),
    }


def commits_of(run: Run) -> list[str]:
    """Return the project's commits that the run used: at its start and at each resume."""
    return list(dict.fromkeys(_commit(entry.get("git")) for entry in (run.provenance, *resumes_of(run))))


def resumes_of(run: Run) -> list[dict[str, Any]]:
    """Return the entries that provenance.json has for the run's resumes."""
    entries = run.provenance.get("resumes")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def as_typed(value: Any) -> str:
    """Return a value in the spelling of the command line; a long one is shortened."""
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return shortened(",".join(map(as_typed, value)) or "none")
    return shortened({"True": "true", "False": "false", "None": "null"}.get(str(value), str(value)))


def sort_key(value: Any) -> tuple[float, str]:
    """Return a key that sorts values of mixed types: numbers by size, then texts."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value), ""
    return float("inf"), as_typed(value)


def _differing(kind: str, trees: list[dict[str, Any]]) -> Iterator[Difference]:
    """Yield the keys whose value is not the same in all trees; there is one tree per run."""
    first_key: dict[tuple[int, ...], str] = {}  # by the partition of the runs that the key makes
    for key in dict.fromkeys(key for tree in trees for key in tree):
        values = [tree.get(key, ABSENT) for tree in trees]
        counts = Counter((sort_key(value), as_typed(value)) for value in values)
        if len(counts) > 1:
            texts = [as_typed(value) for value in values]
            partition = tuple(map(list(dict.fromkeys(texts)).index, texts))
            goes_with = first_key.setdefault(partition, key)
            counted = tuple((text, runs) for (_, text), runs in sorted(counts.items()))
            yield Difference(kind, key, counted, goes_with if goes_with != key else None)


def _commit(git: Any) -> str:
    git = _mapping(git)
    commit = str(git.get("commit") or "no checkout")[:COMMIT_DIGITS]
    return f"{commit} + changes {str(git.get('diff_sha256'))[:COMMIT_DIGITS]}" if git.get("dirty") else commit


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}
