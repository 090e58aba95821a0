"""The runs below a folder and the state of each, from the ends of their files: a thousand in a second."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dreamer_exp.formatting import printable, shortened
from dreamer_exp.rundir.display import is_number
from dreamer_exp.rundir.layout import RUN_FILES, RunDirectory, leads_to_runs
from dreamer_exp.rundir.metric_names import WINDOW, is_trained
from dreamer_exp.rundir.reader import RunReader
from dreamer_exp.rundir.status import error_of, state_of
from dreamer_exp.rundir.wandb_folders import OfflineFolders, read_offline_folders

DEPTH = 3  # levels of folders below a given one that are searched


@dataclass(frozen=True)
class Success:
    """A success rate and the episodes it was measured on."""

    rate: float
    episodes: int
    is_evaluation: bool  # False: of the last training episodes

    def __str__(self) -> str:
        return f"{self.rate:.0%} of {'' if self.is_evaluation else 'last '}{self.episodes}"


@dataclass(frozen=True)
class RunEntry:
    """One run in the list."""

    root: Path
    name: str  # its path; relative if it lies below the working directory
    link_to: str | None  # the directory, if the path is a link to it
    state: str  # running | finished | failed | interrupted | stopped | dead | unknown
    error: str | None  # "Type: message" of a failed run
    started: datetime
    env_steps: int | None
    success: Success | None
    bytes: int  # of all its files
    offline: OfflineFolders
    faults: tuple[str, ...]  # a line each: a file, and what is wrong with it

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `--json`."""
        return {
            "run": self.name,
            "link_to": self.link_to,
            "state": self.state,
            "error": self.error,
            "started_utc": self.started.isoformat(timespec="seconds"),
            "env_steps": self.env_steps,
            "success": asdict(self.success) if self.success else None,
            "bytes": self.bytes,
            "wandb": {
                "state": str(self.offline),
                "unsynced": [folder.name for folder in self.offline.unsynced],
                "failures": self.offline.failures,
            },
            "faults": list(self.faults),
        }


def list_runs(roots: Iterable[Path]) -> list[RunEntry]:
    """Return the runs at these folders or up to DEPTH levels below, without duplicates, newest first.

    Links to runs and to sweeps are followed; of a run that is also found by itself, the link is left out.
    """
    found: dict[Path, Path] = {}
    for run in (run for root in roots for run in _runs_below(root, DEPTH)):
        if (directory := run.resolve()) not in found or run.absolute() == directory:
            found[directory] = run
    return sorted(map(_read_guarded, found.values()), key=lambda run: (run.started, run.name), reverse=True)


def read_run_entry(root: Path) -> RunEntry:
    """Read one run; what cannot be read is None or empty, and named in `faults`."""
    files, reader = RunDirectory(root), RunReader()
    status = reader.tree(files.status)
    last = reader.last_row(files.result)
    success = _success(reader.last_row(files.evaluation, is_after_training), last or {})
    return RunEntry(
        root=root,
        name=_name(root),
        link_to=_link_to(root),
        state=state_of(status),
        error=error_of(status),
        started=_started(root, status),
        env_steps=_integer(last or status, "env_steps"),
        success=success,
        bytes=_size(root),
        offline=read_offline_folders(root),
        faults=tuple(reader.faults),
    )


def _read_guarded(root: Path) -> RunEntry:
    """Read one run; if that raises, return an entry with the exception as its fault."""
    try:
        return read_run_entry(root)
    except Exception as error:  # noqa: BLE001  # listed as the run's fault: one broken folder must not hide the others
        fault = shortened(printable(f"cannot be read ({type(error).__name__}: {error})"))
        offline = OfflineFolders(0, (), {}, is_online=False)
        return RunEntry(
            root, printable(root), None, "unknown", None, datetime.now(UTC), None, None, 0, offline, (fault,)
        )


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    entries = _entries(folder)
    if {*RUN_FILES} & {entry.name for entry in entries}:
        yield folder
    elif depth:
        for entry in entries:
            if not entry.name.startswith(".") and leads_to_runs(entry):
                yield from _runs_below(folder / entry.name, depth - 1)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:  # removed meanwhile, or no permission
        return []


def _size(folder: Path | str) -> int:
    total = 0
    for entry in _entries(folder):
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            total += _size(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
        except OSError:  # replaced by a running process meanwhile, or no permission
            continue
    return total


def is_after_training(row: dict[str, Any]) -> bool:
    """Return whether a row of evaluation.jsonl is of the policy after some training."""
    return is_trained(row) and bool(_integer(row, "env_steps"))


def _success(evaluation: dict[str, Any] | None, last: dict[str, Any]) -> Success | None:
    """Return the success rate as in run_summary.json's `final`: of the last evaluation, else of the window."""
    if evaluation is not None:
        rate, episodes = _number(evaluation, "success_rate"), _integer(evaluation, "episodes")
    else:
        rate, episodes = _number(last, "success_rate_window"), _integer(last, "episodes_total")
        episodes = None if episodes is None else min(episodes, WINDOW)
    return None if rate is None or episodes is None else Success(rate, episodes, evaluation is not None)


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if is_number(value) else None


def _integer(row: dict[str, Any], key: str) -> int | None:
    value = _number(row, key)
    return None if value is None else int(value)


def _started(root: Path, status: dict[str, Any]) -> datetime:
    """Return when the run began, or when its directory last changed if that is not recorded."""
    try:
        started = datetime.fromisoformat(status["started_utc"])
        return started.astimezone(UTC) if started.tzinfo else started.replace(tzinfo=UTC)
    except (KeyError, TypeError, ValueError, OverflowError):
        return datetime.fromtimestamp(root.stat().st_mtime, UTC)


def _name(root: Path) -> str:
    return printable(os.path.relpath(root) if root.absolute().is_relative_to(Path.cwd()) else root)


def _link_to(root: Path) -> str | None:
    return printable(root.resolve()) if root.is_symlink() else None
