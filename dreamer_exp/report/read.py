"""What a run's page shows, read from its directory: as rundir's readers do, whatever is wrong with the files."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dreamer_exp.compare.model import Run
from dreamer_exp.compare.read import evaluation_figures, read_run
from dreamer_exp.formatting import printable, printable_lines, shortened
from dreamer_exp.report.charts import PANELS
from dreamer_exp.rundir.display import displayed
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.plain_file import is_plain, is_plain_folder, open_plain
from dreamer_exp.rundir.reader import RunReader, read_tree

COLUMNS = (*(panel.column for panel in PANELS), "iteration", "updates")
REPORT = re.compile(r"evaluation_.*_(\d{4}-\d\d-\d\dT\d{6}\+0000)_[0-9a-f]{4}\.json", re.DOTALL)
VIDEOS, PICTURES = (".mp4",), (".gif", ".png")
MAX_REPORTS = 5  # the newest; each is read completely
MAX_NAMES = 2000  # of report/
MAX_FILMS = 12  # of an evaluation
MAX_ROWS = 8  # policies of an evaluation
TAIL_BYTES = 3000  # of error.txt


@dataclass(frozen=True)
class Picture:
    """A picture or a film in report/."""

    href: str
    label: str
    is_video: bool


@dataclass(frozen=True)
class Evaluation:
    """One report of `dreamer-exp evaluate`."""

    title: str
    when: str
    rows: Sequence[tuple[str, Mapping[str, Any]]]  # policy, figures
    pictures: Sequence[Picture]
    films: Sequence[Picture]


@dataclass(frozen=True)
class RunPage:
    """A run and what lies in its report/.

    Attributes:
        run: The run as `compare` reads it.
        end_reason: The key that ended a finished run, and its value; or why a sweep stopped it.
        verdict: The sentence of the world-model check.
        imagination: Its picture.
        evaluations: The newest reports of `dreamer-exp evaluate`, the newest first.
        left_out: Older ones.
        traceback: The end of error.txt.
        faults: A line each: a file, and what is wrong with it.
    """

    run: Run
    end_reason: str | None
    verdict: str | None
    imagination: Picture | None
    evaluations: Sequence[Evaluation]
    left_out: int
    traceback: str
    faults: Sequence[str]


def read_page(root: Path) -> RunPage:
    """Read what the page of the run in a directory shows."""
    files, reader = RunDirectory(root), RunReader()
    run = read_run(root, printable(root.name), COLUMNS)
    names = _names(files.report)
    reports = sorted(((found[1], name) for name in names if (found := REPORT.fullmatch(name))), reverse=True)
    about = files.imagination.with_suffix(".json")
    reason = displayed(read_tree(files.status).get("end_reason"))
    verdict = displayed(reader.tree(about).get("verdict")) if about.name in names else None
    return RunPage(
        run=run,
        end_reason=reason if isinstance(reason, str) else None,
        verdict=verdict if isinstance(verdict, str) else None,
        imagination=_picture(files.imagination.name, "") if files.imagination.name in names else None,
        evaluations=[_read_evaluation(reader, files.report, name, when, names) for when, name in reports[:MAX_REPORTS]],
        left_out=len(reports[MAX_REPORTS:]),
        traceback=_tail(files.error),
        faults=(*run.faults, *map(printable, reader.faults)),
    )


def _names(folder: Path) -> list[str]:
    """Return the names of a folder's plain files; a link could show any file of this machine."""
    if not is_plain_folder(folder):
        return []
    with os.scandir(folder) as entries:
        some = [entry.name for entry, _ in zip(entries, range(MAX_NAMES), strict=False)]
    return sorted(name for name in some if is_plain(folder / name))


def _read_evaluation(reader: RunReader, folder: Path, name: str, when: str, names: Sequence[str]) -> Evaluation:
    tree, stem = reader.tree(folder / name), name.removesuffix(".json")
    rows = tree.get("evaluations")
    known = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    figures = [evaluation_figures(row) for row in known[:MAX_ROWS] if isinstance(row.get("policy"), str)]
    mine = [_picture(each, stem) for each in names if each.startswith(f"{stem}_") and each.endswith(VIDEOS + PICTURES)]
    stills = [each for each in mine if each.label in ("paths", "scenarios")]
    experiment = tree.get("experiment")
    env = experiment.get("env") if isinstance(experiment, dict) else None
    where = env.get("name") if isinstance(env, dict) else None
    return Evaluation(
        title=shortened(printable(f"checkpoint {tree.get('checkpoint', '-')} in {where or 'an unknown environment'}")),
        when=f"{when[:10]} {when[11:13]}:{when[13:15]} UTC",
        rows=[(row["policy"], row) for row in figures],
        pictures=stills,
        films=[each for each in mine if each not in stills][:MAX_FILMS],
    )


def _picture(name: str, stem: str) -> Picture:
    label = name.removeprefix(f"{stem}_").rpartition(".")[0].replace("_", " ")
    return Picture(quote(os.fsencode(name)), shortened(printable(label)), name.endswith(VIDEOS))


def _tail(path: Path) -> str:
    """Return the end of a text file from someone else, as it may be shown; empty if it cannot be read."""
    try:
        with open_plain(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return printable_lines(file.read(TAIL_BYTES).decode("utf-8", "replace"))
    except OSError:  # most runs have none
        return ""
