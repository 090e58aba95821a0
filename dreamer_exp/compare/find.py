"""PATHs -> run directories: a run's own folder, a sweep's, an outputs folder, in any mix."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.rundir.listing import printable

RUN_FILES = {"experiment.yaml", "status.json"}  # either makes a folder a run's
JOB_FILES = {"job.json", "console.log", ".hydra"}  # what a sweep leaves in the folder of a job that never became a run
SWEEP_FILES = {"sweep.json", "sweep_summary.json", "multirun.yaml"}
# what else lies between runs: a sweep's and Hydra's own files, logs, and what this command writes
KNOWN = re.compile(
    r"sweep.*|stop|multirun\.yaml|optimization_results\.yaml|.*\.log|compare.*|(learning_curves|bars)\.png"
)
DEPTH = 4  # folders below a PATH that are searched
SHOWN = 5  # foreign names in a line


@dataclass(frozen=True)
class Found:
    """What the PATHs hold."""

    roots: tuple[Path, ...]  # resolved, each once, in the order of the PATHs; in a folder by number, then name
    faults: tuple[str, ...]  # a line each

    def named(self) -> list[tuple[Path, str]]:
        """Each run's folder and its name: its place below the folder that all of them share."""
        shared = os.path.commonpath([root.parent for root in self.roots]) if self.roots else ""
        return [(root, printable(root.relative_to(shared))) for root in self.roots]


def find(paths: Sequence[Path]) -> Found:
    """All runs in these places; what is foreign or cannot be read is told in `faults`."""
    roots: dict[Path, None] = {}
    faults: list[str] = []
    for path in paths:
        if not os.path.isdir(path):  # Path.is_dir raises below a folder that may not be entered
            faults.append(
                f"{path}: {'is a file; name a folder' if os.path.exists(path) else 'there is no such folder'}"
            )
            continue
        runs, foreign = _search(path.resolve(), DEPTH, faults)
        roots |= dict.fromkeys(runs)
        if not runs:
            faults.append(f"{path}: holds no run")
        elif foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            faults.append(f"{path}: belongs to no run: {', '.join(foreign[:SHOWN])}{more}")
    return Found(tuple(roots), tuple(map(printable, faults)))


def is_sweep(path: Path) -> bool:
    """Whether this is the folder of one multirun."""
    return any(os.path.isfile(path / name) for name in SWEEP_FILES)


def _search(folder: Path, depth: int, faults: list[str]) -> tuple[list[Path], list[str]]:
    """The runs in a folder, and the names of what in it belongs to none; folders that can't be read go to `faults`."""
    try:
        entries = sorted(os.scandir(folder), key=_number_then_name)
    except OSError as error:
        faults.append(f"{folder}: {error.strerror}")
        return [], []
    names = {entry.name for entry in entries}
    if names & RUN_FILES:
        return [folder], []
    runs: list[Path] = []
    foreign = []
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        below: list[Path] = []
        if entry.is_dir() and depth:
            below, strange = _search(Path(entry.path), depth - 1, faults)
            foreign += [f"{entry.name}/{name}" for name in strange if below]
        if not below and not KNOWN.fullmatch(entry.name):
            foreign.append(entry.name)
        runs += below
    if not runs and names & JOB_FILES:
        return [folder], []
    return runs, foreign


def _number_then_name(entry: os.DirEntry[str]) -> tuple[int, str]:
    """A sweep's job 10 after its job 9."""
    number = re.match(r"\d{1,6}(?=_|$)", entry.name)
    return (int(number[0]), entry.name) if number else (0, entry.name)
