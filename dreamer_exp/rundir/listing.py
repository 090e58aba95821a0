"""What runs lie below a folder, and how each is doing, from the ends of its files: a thousand are told in a second."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import LEARNER, WINDOW
from dreamer_exp.rundir.status import state_of
from dreamer_exp.rundir.tail import last_row
from dreamer_exp.rundir.wandb_folders import Offline, offline_of

DEPTH = 3  # folders below the one given in which runs are looked for


@dataclass(frozen=True)
class Success:
    """A success rate and what it is of."""

    rate: float
    episodes: int
    is_evaluation: bool  # else of the training's last episodes

    def __str__(self) -> str:
        return f"{self.rate:.0%} of {'' if self.is_evaluation else 'last '}{self.episodes}"


@dataclass(frozen=True)
class RunEntry:
    """One run in the list."""

    root: Path
    name: str  # its path, relative to the working directory where it lies below that
    state: str  # running | finished | failed | interrupted | dead | unknown
    error: str | None  # "Type: message" of a failed run
    started: datetime
    env_steps: int | None
    success: Success | None
    bytes: int  # of all its files
    offline: Offline
    faults: tuple[str, ...]  # a line each: a file, and what is wrong with it

    def to_dict(self) -> dict[str, Any]:
        """The tree for --json."""
        return {
            "run": self.name,
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
    """Every run at these folders or up to DEPTH below them, once each, newest first."""
    found = {run.resolve(): run for root in roots for run in _runs_below(root, DEPTH)}
    return sorted(map(_read_guarded, found.values()), key=lambda run: (run.started, run.name), reverse=True)


def read_listed(root: Path) -> RunEntry:
    """One run; what cannot be read is empty here, and told in `faults`."""
    files, faults = RunDirectory(root), list[str]()
    status = _status(files.status, faults)
    last = last_row(files.result, faults)
    return RunEntry(
        root=root,
        name=printable(os.path.relpath(root) if root.resolve().is_relative_to(Path.cwd()) else root),
        state=state_of(status),
        error=_error(status),
        started=_started(root, status),
        env_steps=_whole(last or status, "env_steps"),
        success=_success(last_row(files.evaluation, faults, _is_after_training), last or {}),
        bytes=_size(root),
        offline=offline_of(root),
        faults=tuple(faults),
    )


def printable(path: Path | str) -> str:
    """A path as text that can be printed and written as UTF-8, whatever bytes name it on the disk."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_guarded(root: Path) -> RunEntry:
    """The run; where its directory is so odd that reading it fails, one of which nothing is known but that."""
    try:
        return read_listed(root)
    except Exception as error:  # noqa: BLE001  # told as the run's fault: one folder must not cost the others
        fault = f"cannot be read ({type(error).__name__}: {error})"
        nothing = Offline(0, (), {}, is_online=False)
        return RunEntry(root, printable(root), "unknown", None, datetime.now(UTC), None, None, 0, nothing, (fault,))


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    files, entries = RunDirectory(folder), _entries(folder)
    if {files.status.name, files.experiment.name, files.result.name} & {entry.name for entry in entries}:
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _runs_below(folder / entry.name, depth - 1)


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:  # taken away meanwhile, or not ours to read
        return []


def _size(folder: Path | str) -> int:
    total = 0
    for entry in _entries(folder):
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            total += _size(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
        except OSError:  # a run at work replaces its files; or they are not ours to look at
            continue
    return total


def _status(path: Path, faults: list[str]) -> dict[str, Any]:
    """As status.read_status, but what is wrong is told."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(f"{path.name} is missing")
    except OSError as error:
        faults.append(f"{path.name} cannot be read ({error.strerror})")
    except (ValueError, RecursionError):
        faults.append(f"{path.name} is no JSON")
    else:
        if isinstance(tree, dict):
            return tree
        faults.append(f"{path.name} holds no run's state")
    return {}


def _is_after_training(row: dict[str, Any]) -> bool:
    return row.get("policy") == LEARNER and bool(_whole(row, "env_steps"))


def _success(evaluation: dict[str, Any] | None, last: dict[str, Any]) -> Success | None:
    """As run_summary.json's `final` has it (report.py): of the last evaluation, else of the window."""
    if evaluation is not None:
        rate, episodes = _number(evaluation, "success_rate"), _whole(evaluation, "episodes")
    else:
        rate, episodes = _number(last, "success_rate_window"), _whole(last, "episodes_total")
        episodes = None if episodes is None else min(episodes, WINDOW)
    return None if rate is None or episodes is None else Success(rate, episodes, evaluation is not None)


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return float(value) if isinstance(value, (int, float)) and abs(value) <= sys.float_info.max else None


def _whole(row: dict[str, Any], key: str) -> int | None:
    value = _number(row, key)
    return None if value is None else int(value)


def _error(status: dict[str, Any]) -> str | None:
    error = status.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None


def _started(root: Path, status: dict[str, Any]) -> datetime:
    """When the run began; without its word for it, when its directory last changed."""
    try:
        told = datetime.fromisoformat(status["started_utc"])
    except (KeyError, TypeError, ValueError):
        return datetime.fromtimestamp(root.stat().st_mtime, UTC)
    return told if told.tzinfo else told.replace(tzinfo=UTC)
