"""compare.html: curves, findings and tables in one file that loads nothing, plotly.js (4.8 MB, MIT) included."""

import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from dreamer_exp.compare import page_data, page_tables
from dreamer_exp.compare.model import Comparison
from dreamer_exp.compare.page_statistics import statistics
from dreamer_exp.compare.page_tables import plural
from dreamer_exp.rundir.atomic import write_text

SINGLES = 60  # runs, up to which their own curves are shown at first


def write_page(path: Path, comparison: Comparison) -> None:
    """Writes the page; its links to the runs are relative to its folder, so both can be moved together.

    Args:
        path: the .html file, replaced whole or not at all.
        comparison: what to show.

    Raises:
        OSError: it cannot be written.
    """
    tree = page_data.tree(comparison)
    home = path.parent.resolve()
    scripts = {"plotly": _plotly(), "script": _part("page.js")}
    parts = {
        "policy": _policy(scripts.values()),
        "style": _part("page.css"),
        "title": escape(f"Comparison: {page_data.known(comparison.metric).title}"),
        "lead": _lead(comparison),
        "findings": page_tables.findings(comparison),
        "metrics": _options(tree["metrics"]),
        "over_steps": " checked" if comparison.at == "env_steps" else "",
        "over_wall": " checked" if comparison.at == "wall" else "",
        "singles": " checked" if len(comparison.runs) <= SINGLES else "",
        "legend": page_tables.legend(comparison, home),
        "note": _note(comparison, tree),
        "statistics": statistics(comparison),
        "differences": page_tables.differences(comparison),
        "runs": page_tables.runs(comparison, home),
        "faults": page_tables.faults(comparison),
        "data": in_script(tree),
        **scripts,
    }
    write_text(path, re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _part("page.html")))


def in_script(tree: Any) -> str:
    """JSON that can stand inside a script element: no text in it can end that element, and NaN is refused."""
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files("dreamer_exp.compare") / "page_files" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    return str(get_plotlyjs()).replace("\r", "")


def _policy(scripts: Iterable[str]) -> str:
    """Nothing is fetched and no other script runs, whatever a run's files say; browsers hold the page to it."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    shown = "style-src 'unsafe-inline'; img-src data: blob:"
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; script-src {hashes}; {shown}"


def _lead(comparison: Comparison) -> str:
    """How many runs of which state, and where faults are told."""
    states = Counter(run.state for run in comparison.runs)
    words = [
        f"{plural(len(comparison.runs), 'run')} in {plural(len(comparison.groups), 'group')}",
        ", ".join(f"{count} {escape(state)}" for state, count in states.most_common()),
    ]
    if comparison.faults:
        words.append(f'<a href="#h-faults">{plural(len(comparison.faults), "fault")}</a>')
    return " · ".join(word for word in words if word)


def _options(metrics: list[dict[str, Any]]) -> str:
    return "".join(f'<option value="{n}">{escape(metric["title"])}</option>' for n, metric in enumerate(metrics))


def _note(comparison: Comparison, tree: dict[str, Any]) -> str:
    """How to read the curves, and what was left away."""
    words = [
        "Bold: a group's interquartile mean over its runs, with its 95 % bootstrap interval. Past its end a run no "
        "longer counts, and the curve ends where fewer than half of its runs go on. Thin: single runs; hiding one does "
        "not change its group's curve."
    ]
    if len(comparison.runs) > SINGLES:
        words.append(f"Single runs are hidden at first where there are more than {SINGLES}.")
    if tree["thinned"]:
        words.append(
            f"Runs' curves of more than {tree['limit']} points are thinned to about as many, the lowest and the "
            "highest of each stretch; result.jsonl has them all."
        )
    return " ".join(words)
