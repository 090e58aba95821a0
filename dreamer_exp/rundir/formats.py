"""Versions of the file formats in a run directory; docs/checkpoint_format.md describes the files."""

from collections.abc import Mapping
from typing import Any

from dreamer_exp.formatting import shortened

# by file name: the versions that can be read, the current one last; release 0.1 wrote version 1 without a number
READABLE = {
    # of each row; 1: SPL was relative to the route up to the goal's centre; 2: without `kind`
    "evaluation.jsonl": (1, 2, 3),
    "experiment.yaml": (1, 2),
    "manifest.json": (2, 3),  # 2: release 0.1
    "policy.json": (1, 2),
    "provenance.json": (1, 2),
    "requested.yaml": (1, 2),
    "run_summary.json": (1,),
    "status.json": (1,),
}


def current_format(name: str) -> int:
    """Return the version that is written into a file of this name."""
    return READABLE[name][-1]


def format_fault(name: str, tree: Mapping[str, Any]) -> str | None:
    """Return why the format of a file's content cannot be read; None if it can, or has no version."""
    readable, version = READABLE.get(name), tree.get("format", 1)
    if readable is None or version in readable:
        return None
    return f"format={shortened(repr(version))} is unknown, allowed: {', '.join(map(str, readable))}; update dreamer-exp"
