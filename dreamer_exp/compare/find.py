"""Search for run directories: paths name runs, sweeps or folders of them, in any mix."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.formatting import printable
from dreamer_exp.rundir.layout import RUN_FILES, leads_to_runs

JOB_FILES = {"job.json", "console.log", ".hydra"}  # in the folder of a sweep's job that never became a run
# other expected names: files of sweeps and of Hydra, logs, and the output of this command
EXPECTED = re.compile(
    r"sweep.*|stop|multirun\.yaml|optimization_results\.yaml|.*\.log|compare.*|(learning_curves|bars)\.png"
)
DEPTH = 4  # searched levels of folders below a path
SHOWN = 5  # foreign names per line


@dataclass(frozen=True)
class RunSearch:
    """Run directories found below some paths."""

    paths: dict[Path, Path]  # by directory, resolved: where it was found, which may be a link to it
    faults: tuple[str, ...]  # one line each

    @property
    def roots(self) -> tuple[Path, ...]:
        """The directories, unique, in the order of the paths; within a folder by number, then name."""
        return tuple(self.paths)

    def named(self) -> list[tuple[Path, str]]:
        """Return each run directory with its name: the path below the folder that all of them share.

        The name of a link is followed by the directory that it leads to.
        """
        shared = os.path.commonpath([path.parent for path in self.paths.values()]) if self.paths else ""
        return [
            (root, printable(path.relative_to(shared)) + ("" if path == root else f" -> {printable(root)}"))
            for root, path in self.paths.items()
        ]


def find_runs(paths: Sequence[Path]) -> RunSearch:
    """Find all runs below these paths; `faults` lists foreign files and unreadable folders."""
    paths_of: dict[Path, Path] = {}
    faults: list[str] = []
    for path in paths:
        if not os.path.isdir(path):  # Path.is_dir raises PermissionError
            problem = "is a file; name a folder" if os.path.exists(path) else "there is no such folder"
            faults.append(f"{path}: {problem}")
            continue
        runs, foreign = _search(path.resolve(), DEPTH, faults)
        for run in runs:
            if (root := run.resolve()) not in paths_of or run == root:
                paths_of[root] = run
        if not runs:
            faults.append(f"{path}: holds no run")
        elif foreign:
            more = f" and {len(foreign) - SHOWN} more" if len(foreign) > SHOWN else ""
            faults.append(f"{path}: not part of a run: {', '.join(foreign[:SHOWN])}{more}")
    return RunSearch(paths_of, tuple(map(printable, faults)))


def _search(folder: Path, depth: int, faults: list[str]) -> tuple[list[Path], list[str]]:
    """Return the runs in a folder and the names that belong to none; unreadable folders are added to `faults`."""
    try:
        entries = sorted(os.scandir(folder), key=_number_and_name)
    except OSError as error:
        faults.append(f"{folder}: {error.strerror}")
        return [], []
    names = {entry.name for entry in entries}
    if names & {*RUN_FILES}:
        return [folder], []
    runs: list[Path] = []
    foreign: list[str] = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        below: list[Path] = []
        if depth and leads_to_runs(entry):
            below, foreign_below = _search(Path(entry.path), depth - 1, faults)
            foreign += [f"{entry.name}/{name}" for name in foreign_below if below]
        if not below and not EXPECTED.fullmatch(entry.name):
            foreign.append(entry.name)
        runs += below
    if not runs and names & JOB_FILES:
        return [folder], []
    return runs, foreign


def _number_and_name(entry: os.DirEntry[str]) -> tuple[int, str]:
    """Return a key that sorts a sweep's job 10 after its job 9."""
    number = re.match(r"\d{1,6}(?=_|$)", entry.name)
    return (int(number[0]), entry.name) if number else (0, entry.name)
