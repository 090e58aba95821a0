"""Files of a comparison for other programs and for people: CSV, JSON, figures and the page.

Each file is replaced atomically.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dreamer_exp.compare.differences import as_typed
from dreamer_exp.compare.figures import draw
from dreamer_exp.compare.group import SEED
from dreamer_exp.compare.metrics import curve, outcome, time_to
from dreamer_exp.compare.model import Comparison, Group, Run
from dreamer_exp.compare.page import write_page
from dreamer_exp.compare.scenarios import scenario_lines
from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import csv_text, printable
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.parse import leaves


def write_files(folder: Path, comparison: Comparison) -> list[Path]:
    """Write all files of a comparison into a folder and return their paths.

    A second process draws the figures meanwhile, which takes half of the time.

    Raises:
        UserError: The folder or a file cannot be written.
    """
    page = folder / "compare.html"
    curves = [curve(group.runs, comparison.metric, comparison.at) for group in comparison.groups]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(1) as pool:
            figures = pool.submit(draw, folder, replace(comparison, runs=(), groups=()), curves)
            tables = write_tables(folder, comparison)
            write_page(page, comparison)
        return [*tables, *figures.result(), page]
    except OSError as error:
        raise UserError(
            f"compare: {error.filename or folder} cannot be written ({error.strerror}); use --out."
        ) from error


def write_tables(folder: Path, comparison: Comparison) -> list[Path]:
    """Write tables of groups, of runs and of scenarios (if there are any), and everything as JSON; return the paths.

    Unknown and infinite values are empty or null.

    Args:
        folder: Existing folder.
        comparison: Comparison to write.

    Raises:
        OSError: A file cannot be written.
    """
    group_of = {run.root: group for group in comparison.groups for run in group.runs}
    runs = [_run_row(run, group_of.get(run.root), comparison) for run in comparison.runs]
    paths = [folder / name for name in ("compare.csv", "compare_runs.csv", "compare.json")]
    write_text(paths[0], _csv([leaves(tree) for tree in comparison.statistics]))
    write_text(paths[1], _csv(runs))
    write_json(paths[2], _finite(_tree(comparison, runs)))
    if any(comparison.scenarios):
        paths.append(folder / "compare_scenarios.csv")
        write_text(paths[-1], _csv(scenario_lines(comparison.groups, comparison.scenarios)))
    return paths


def _tree(comparison: Comparison, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "lower_is_better": comparison.lower_is_better,
        "by": comparison.by,
        "differing": comparison.differing,
        "taken_together": comparison.pooled,
        "threshold": comparison.threshold,
        "findings": comparison.findings,
        "groups": comparison.statistics,
        "scenarios": comparison.scenarios,
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "equal_cost": [asdict(budget) for budget in comparison.budgets],
        "runs": runs,
        "differences": [asdict(difference) for difference in comparison.differences],
        "faults": comparison.faults,
    }


def _run_row(run: Run, group: Group | None, comparison: Comparison) -> dict[str, Any]:
    result, level = outcome(run, comparison.metric), comparison.threshold
    times = {
        f"{name}_to_threshold": math.nan if level is None else time_to(run, comparison.metric, at, level)
        for name, at in (("env_steps", "env_steps"), ("wall_s", "wall"))
    }
    return {
        "run": run.name,
        "group": group.label if group else None,
        "seed": run.config.get(SEED),
        "state": run.state,
        "error": run.error,
        "env_steps": result.env_steps,
        "wall_s": result.wall_s,
        "final": result.final,
        "best": result.best,
        **times,
        **{key: run.config.get(key) for key in (*comparison.differing, *comparison.pooled)},
        "folder": printable(run.root),
    }


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_text, columns))
    writer.writerows(_cells(row.get(key) for key in columns) for row in rows)
    return text.getvalue()


def _cells(values: Iterable[Any]) -> list[Any]:
    finite = (_finite(value) for value in values)
    typed = (as_typed(value) if isinstance(value, (list, bool)) else value for value in finite)
    return [csv_text(value) if isinstance(value, str) else value for value in typed]


def _finite(node: Any) -> Any:
    """Return the tree as JSON allows it: null for NaN and infinity, text for other types (a date in a YAML file)."""
    if isinstance(node, Mapping):
        return {str(key): _finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_finite(value) for value in node]
    if isinstance(node, float):
        return node if math.isfinite(node) else None
    return node if isinstance(node, (int, str, type(None))) else str(node)
