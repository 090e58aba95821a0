"""compare.csv, compare_runs.csv and compare.json: the comparison for other programs. No file is written by half."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dreamer_exp.compare.difference import word
from dreamer_exp.compare.files import flatten
from dreamer_exp.compare.group import SEED
from dreamer_exp.compare.model import Comparison, Group, Run
from dreamer_exp.compare.outcome import outcome, time_to
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.listing import printable


def write_files(folder: Path, comparison: Comparison) -> list[Path]:
    """Writes a table of groups, one of runs, and everything as one tree; what is unknown or infinite is empty or null.

    Args:
        folder: is there.
        comparison: what to write.

    Raises:
        OSError: a file cannot be written.
    """
    group_of = {run.root: group for group in comparison.groups for run in group.runs}
    runs = [_run(run, group_of.get(run.root), comparison) for run in comparison.runs]
    files = [folder / name for name in ("compare.csv", "compare_runs.csv", "compare.json")]
    write_text(files[0], _csv([flatten(tree) for tree in comparison.statistics]))
    write_text(files[1], _csv(runs))
    write_json(files[2], _finite(_tree(comparison, runs)))
    return files


def _tree(comparison: Comparison, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "lower_is_better": comparison.lower_is_better,
        "by": comparison.by,
        "differing": comparison.differing,
        "taken_together": comparison.rest,
        "threshold": comparison.threshold,
        "findings": comparison.findings,
        "groups": comparison.statistics,
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "runs": runs,
        "differences": [asdict(difference) for difference in comparison.differences],
        "faults": comparison.faults,
    }


def _run(run: Run, group: Group | None, comparison: Comparison) -> dict[str, Any]:
    """One run's own figures."""
    told, level = outcome(run, comparison.metric), comparison.threshold
    timed = {
        f"{name}_to_threshold": math.nan if level is None else time_to(run, comparison.metric, at, level)
        for name, at in (("env_steps", "env_steps"), ("wall_s", "wall"))
    }
    return {
        "run": run.name,
        "group": group.label if group else None,
        "seed": run.config.get(SEED),
        "state": run.state,
        "error": run.error,
        "env_steps": told.env_steps,
        "wall_s": told.wall_s,
        "final": told.final,
        "best": told.best,
        **timed,
        **{key: run.config.get(key) for key in (*comparison.differing, *comparison.rest)},
        "folder": printable(run.root),
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_cells(row.get(key) for key in columns) for row in rows)
    return text.getvalue()


def _cells(values: Iterable[Any]) -> list[Any]:
    lone = (_finite(value) for value in values)
    return [word(value) if isinstance(value, (list, bool)) else value for value in lone]


def _finite(node: Any) -> Any:
    """The tree as JSON can have it: null for NaN and infinity, words for what is no JSON (a date in a YAML file)."""
    if isinstance(node, Mapping):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(value) for value in node]
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    return node if isinstance(node, (int, str, type(None))) else str(node)
