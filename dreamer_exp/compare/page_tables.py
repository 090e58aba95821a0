"""The parts of compare.html that stand still: lists and tables as HTML. Every text of a run is escaped here."""

import os
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from dreamer_exp.compare.difference import ABSENT, code, hardware, word
from dreamer_exp.compare.model import Comparison, Difference, Run
from dreamer_exp.compare.page_data import colour, dash
from dreamer_exp.compare.told import NOTHING, duration, whole
from dreamer_exp.rundir.listing import printable

DASHES = {"solid": "none", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}  # Plotly's name: SVG's lengths
RIGHT = {"seed", "env steps", "wall time"}  # columns of numbers


def legend(comparison: Comparison, home: Path) -> str:
    """A checkbox a group, and under it a checkbox and a link a run; `home` is the page's folder."""
    position = {run.root: index for index, run in enumerate(comparison.runs)}
    items = []
    for number, group in enumerate(comparison.groups):
        runs = "".join(
            f'<li><label><input type="checkbox" data-run="{position[run.root]}" checked>'
            f"<span>{escape(run.name)}</span></label> {_link(run, home, 'files')}</li>"
            for run in group.runs
        )
        items.append(
            f'<li><label><input type="checkbox" data-group="{number}" checked>{group_name(comparison, number)}</label>'
            f"<details><summary>{plural(len(group.runs), 'run')}</summary><ul>{runs}</ul></details></li>"
        )
    return "".join(items)


def findings(comparison: Comparison) -> str:
    """What was found, in words."""
    if not comparison.findings:
        return '<p class="note">Nothing to set against each other: there are no two groups with results.</p>'
    return f'<ul class="findings">{_items(comparison.findings)}</ul>'


def faults(comparison: Comparison) -> str:
    """What could not be read; nothing where all could."""
    if not comparison.faults:
        return ""
    return (
        '<section aria-labelledby="h-faults"><h2 id="h-faults">Faults</h2>'
        f'<ul class="faults">{_items(comparison.faults)}</ul></section>'
    )


def differences(comparison: Comparison) -> str:
    """The keys of config that differ, by group, the longer of the two down the page; then all else that differs."""
    other = [difference for difference in comparison.differences if difference.key not in comparison.differing]
    lines = [[escape(difference.key), escape(difference.kind), _counted(difference)] for difference in other]
    more = table("Other differences", ["what", "kind", "values"], lines) if other else ""
    return _settings(comparison) + (f"<h3>Beside that</h3>{more}" if more else "")


def runs(comparison: Comparison, home: Path) -> str:
    """Every run: where it lies, what became of it, how far it came."""
    group_of = {run.root: number for number, group in enumerate(comparison.groups) for run in group.runs}
    head = ["run", "group", "seed", "state", "env steps", "wall time", "commit", "machine"]
    body = [
        [
            _link(run, home, run.name),
            group_name(comparison, group_of[run.root]) if run.root in group_of else NOTHING,
            escape(word(run.config.get("run.seed", NOTHING))),
            _state(run),
            whole(_last(run, "env_steps")),
            duration(_last(run, "time/total_s")),
            escape(word(code(run)["git"])) if run.provenance else NOTHING,
            escape(_machine(run)),
        ]
        for run in comparison.runs
    ]
    return table("Runs", head, body, RIGHT)


def table(name: str, head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """A table of HTML cells, the first of each row its heading; columns of numbers stand to the right.

    It scrolls by itself, by keyboard too.
    """
    kinds = [' class="figure"' if title in right else "" for title in head]
    top = "".join(f'<th scope="col"{kind}>{title}</th>' for title, kind in zip(head, kinds, strict=True))
    rows = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in body
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def group_name(comparison: Comparison, number: int) -> str:
    """A group's label behind a piece of its line."""
    line = f'stroke="{colour(number)}" stroke-width="4" stroke-dasharray="{DASHES[dash(number)]}"'
    swatch = f'<svg class="swatch" viewBox="0 0 26 10" aria-hidden="true"><path d="M0 5H26" {line}/></svg>'
    return f'<span class="named">{swatch}<span>{escape(comparison.groups[number].label)}</span></span>'


def plural(number: int, noun: str) -> str:
    """ "1 run", "3 runs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _settings(comparison: Comparison) -> str:
    keys, groups = comparison.differing, comparison.groups
    if not keys:
        return '<p class="note">No key of the configuration differs between the groups.</p>'
    values = [[escape(word(group.settings.get(key, ABSENT))) for key in keys] for group in groups]
    labels = [group_name(comparison, number) for number in range(len(groups))]
    names = [f"<code>{escape(key)}</code>" for key in keys]
    if len(keys) > len(groups):
        names, labels, values = labels, names, [list(column) for column in zip(*values, strict=True)]
    body = [[label, *row] for label, row in zip(labels, values, strict=True)]
    return table("Configuration", ["", *names], body)


def _counted(difference: Difference) -> str:
    told = (f"{escape(text)} <small>({plural(runs, 'run')})</small>" for text, runs in difference.values)
    return "<br>".join(told)


def _link(run: Run, home: Path, text: str) -> str:
    target = quote(os.fsencode(os.path.relpath(run.root, home)))
    return f'<a href="{target}/" title="{escape(printable(run.root))}">{escape(text)}</a>'


def _state(run: Run) -> str:
    error = f"<br><small>{escape(run.error)}</small>" if run.error else ""
    return f'<span class="state {escape(run.state.split()[0])}">{escape(run.state)}</span>{error}'


def _last(run: Run, column: str) -> float:
    """The last number of a column; NaN where there is none."""
    values = run.rows.get(column, np.array([]))
    told = values[~np.isnan(values)]
    return float(told[-1]) if len(told) else float("nan")


def _machine(run: Run) -> str:
    told = hardware(run)
    gpus = told["GPUs"]
    return word(gpus) if gpus else f"{word(told['CPU cores'])} x {word(told['CPU'])}"


def _items(lines: Sequence[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)
