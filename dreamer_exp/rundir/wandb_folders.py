"""A run's offline W&B folders: which were synced, which failed and why. Files alone are read, wandb isn't imported.

`wandb sync` marks what it sent with a file `<name>.wandb.synced`. That marker is the memory here too, so a sync by hand
counts as well; wandb_sync.py takes it away again where wandb 0.31 set it although data was lost.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.rundir.atomic import write_json

FAILURES = "sync_failures.json"  # in the run's wandb/: folder's name -> error
FILE_HEADER = 7  # bytes; a file of no more was begun by a process that died before its first record


@dataclass(frozen=True)
class Offline:
    """What W&B still has to get of one run."""

    folders: int  # offline folders that hold something
    unsynced: tuple[Path, ...]  # of these, oldest first: a run that was resumed has several
    failures: dict[str, str]  # the error of those whose last sync failed, by the folder's name
    is_online: bool  # the run, or a part of it, went to W&B while it ran

    def __str__(self) -> str:
        if not self.folders:
            return "online" if self.is_online else "none"
        waiting = len(self.unsynced) - len(self.failures)
        told = [f"{n} {word}" for n, word in ((len(self.failures), "failed"), (waiting, "unsynced")) if n]
        return ", ".join(told) or "synced"


def offline_of(run: Path) -> Offline:
    """What lies in the run's wandb/."""
    found = [folder for folder in sorted(run.glob("wandb/offline-run-*")) if _holds_something(folder)]
    unsynced = tuple(folder for folder in found if not all(marker(file).exists() for file in wandb_files(folder)))
    remembered = read_failures(run) if unsynced else {}
    failures = {folder.name: remembered[folder.name] for folder in unsynced if folder.name in remembered}
    return Offline(len(found), unsynced, failures, any(run.glob("wandb/run-*")))


def wandb_files(folder: Path) -> list[Path]:
    """The transaction logs of one W&B folder: one, unless a user put more there."""
    return sorted(folder.glob("*.wandb"))


def marker(file: Path) -> Path:
    """The empty file with which wandb marks a .wandb file as synced."""
    return file.with_suffix(".wandb.synced")


def read_failures(run: Path) -> dict[str, str]:
    """The errors that were kept, by the folder's name; none where no whole file is."""
    try:
        tree = json.loads((run / "wandb" / FAILURES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: str(error) for name, error in tree.items()} if isinstance(tree, dict) else {}


def keep_failure(run: Path, folder: str, error: str | None) -> None:
    """Keeps a folder's error in place of an earlier one; None: it has none any more."""
    before = read_failures(run)
    after = {**before, folder: error}
    if error is None:
        del after[folder]
    if after:
        write_json(run / "wandb" / FAILURES, after)
    else:
        (run / "wandb" / FAILURES).unlink(missing_ok=True)


def _holds_something(folder: Path) -> bool:
    return any(_size(file) > FILE_HEADER for file in wandb_files(folder))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a link to nothing, or taken away meanwhile
        return 0
