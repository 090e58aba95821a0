"""What differs between runs: keys of their config, code (commit, versions), hardware, and their states."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from dreamer_exp.compare.model import Difference, Run

ABSENT = "absent"  # stands for the value of a key that a run doesn't have
DIGITS = 10  # of a commit that are shown


def differences(runs: Sequence[Run], keys: Sequence[str]) -> tuple[Difference, ...]:
    """What isn't the same in all runs: of these keys of their config, and of code, hardware and state."""
    known = [run for run in runs if run.provenance]
    configured = [{key: run.config.get(key, ABSENT) for key in keys} for run in runs if run.config]
    return (
        *_differing("config", configured),
        *_differing("code", [code(run) for run in known]),
        *_differing("hardware", [hardware(run) for run in known]),
        *_differing("status", [{"state": run.state} for run in runs]),
    )


def code(run: Run) -> dict[str, Any]:
    """Commits, uncommitted changes by the digits of their hash, and versions."""
    told = run.provenance
    return {
        "git": _commit(told.get("git")),
        "robot_sf git": _commit(told.get("robot_sf_git")),
        **{name: told.get(name) for name in ("dreamer_exp", "python")},
        **_tree(told.get("packages")),
    }


def commits(run: Run) -> list[str]:
    """The states of our code that it ran with: at its start, and each time it was resumed."""
    return list(dict.fromkeys(_commit(told.get("git")) for told in (run.provenance, *resumes(run))))


def resumes(run: Run) -> list[dict[str, Any]]:
    """What is told of each time that the run was gone on with."""
    told = run.provenance.get("resumes")
    return [again for again in told if isinstance(again, dict)] if isinstance(told, list) else []


def hardware(run: Run) -> dict[str, Any]:
    """Processor and GPUs, and which of them the learner took."""
    machine = _tree(run.provenance.get("machine"))
    return {
        "CPU": machine.get("cpu_name"),
        "CPU cores": machine.get("cpus"),
        "GPUs": run.provenance.get("gpu_names"),
        "learner on": run.provenance.get("learner_devices"),
        "kernels": run.provenance.get("kernels"),  # as they were; algo.kernels is what was asked for
        "platform": machine.get("platform"),
    }


def word(value: Any) -> str:
    """A value as a user would type it."""
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return ",".join(map(word, value)) or "none"
    return {"True": "true", "False": "false", "None": "null"}.get(str(value), str(value))


def order(value: Any) -> tuple[float, str]:
    """Sorts values of any kind: numbers by size, then words."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value), ""
    return float("inf"), word(value)


def _differing(kind: str, told: list[dict[str, Any]]) -> Iterator[Difference]:
    """The keys of these trees, one a run, that don't have the same value in all."""
    first: dict[tuple[int, ...], str] = {}  # of the keys that tell the same runs apart
    for key in dict.fromkeys(key for tree in told for key in tree):
        values = [tree.get(key, ABSENT) for tree in told]
        counts = Counter((order(value), word(value)) for value in values)
        if len(counts) > 1:
            parts = tuple(map(list(dict.fromkeys(map(word, values))).index, map(word, values)))
            goes_with = first.setdefault(parts, key)
            told_apart = tuple((text, runs) for (_, text), runs in sorted(counts.items()))
            yield Difference(kind, key, told_apart, goes_with if goes_with != key else None)


def _commit(git: Any) -> str:
    git = _tree(git)
    commit = str(git.get("commit") or "no checkout")[:DIGITS]
    return f"{commit} + changes {str(git.get('diff_sha256'))[:DIGITS]}" if git.get("dirty") else commit


def _tree(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}
