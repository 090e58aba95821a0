"""The offline W&B folders of a run: which were synced, which failed and why. wandb is not imported.

`wandb sync` marks what it uploaded with a file `<name>.wandb.synced`. The same marker is used here, so that a manual
sync counts too. tracking/wandb/sync_folder.py removes a marker that wandb 0.31 created although data was lost.
"""

from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.formatting import printable, shortened
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.reader import read_tree

FAILURES = "sync_failures.json"  # in the run's wandb/: error by folder name
FILE_HEADER_BYTES = 7  # a .wandb file of this size holds no record: its process was killed before the first


@dataclass(frozen=True)
class OfflineFolders:
    """What is not yet uploaded of one run."""

    folders: int  # offline folders with at least one record
    unsynced: tuple[Path, ...]  # of these, oldest first; a resumed run has several
    failures: dict[str, str]  # error of the last sync, by folder name
    is_online: bool  # the run, or a part of it, was logged online

    def __str__(self) -> str:
        if not self.folders:
            return "online" if self.is_online else "none"
        waiting = len(self.unsynced) - len(self.failures)
        parts = [f"{n} {word}" for n, word in ((len(self.failures), "failed"), (waiting, "unsynced")) if n]
        return ", ".join(parts) or "synced"


def read_offline_folders(run: Path) -> OfflineFolders:
    """Return the state of the folders in the run's wandb/."""
    found = [folder for folder in sorted(run.glob("wandb/offline-run-*")) if _has_records(folder)]
    unsynced = tuple(folder for folder in found if not all(marker(file).exists() for file in wandb_files(folder)))
    recorded = read_failures(run) if unsynced else {}
    failures = {folder.name: recorded[folder.name] for folder in unsynced if folder.name in recorded}
    return OfflineFolders(len(found), unsynced, failures, any(run.glob("wandb/run-*")))


def wandb_files(folder: Path) -> list[Path]:
    """Return the transaction logs of one W&B folder: one, unless a user added more."""
    return sorted(folder.glob("*.wandb"))


def marker(file: Path) -> Path:
    """Return the empty file with which wandb marks a .wandb file as synced."""
    return file.with_suffix(".wandb.synced")


def read_failures(run: Path) -> dict[str, str]:
    """Return the recorded errors by folder name."""
    return {name: shortened(printable(str(error))) for name, error in read_tree(run / "wandb" / FAILURES).items()}


def record_failure(run: Path, folder: str, error: str | None) -> None:
    """Replace the recorded error of a folder; None removes it."""
    failures = {name: text for name, text in read_failures(run).items() if name != folder}
    if error is not None:
        failures[folder] = error
    if failures:
        write_json(run / "wandb" / FAILURES, failures)
    else:
        (run / "wandb" / FAILURES).unlink(missing_ok=True)


def _has_records(folder: Path) -> bool:
    return any(_size(file) > FILE_HEADER_BYTES for file in wandb_files(folder))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a broken link, or removed meanwhile
        return 0
