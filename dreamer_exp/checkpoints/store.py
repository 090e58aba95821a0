"""The checkpoints of a run: atomic writes, a manifest with SHA-256 sums, and the pointers latest and best."""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import replace_folder, write_json, write_text
from dreamer_exp.rundir.formats import current_format, format_fault
from dreamer_exp.rundir.parse import parse_object
from dreamer_exp.rundir.provenance import now_utc

if TYPE_CHECKING:
    from dreamer_exp.algorithms.protocol import Algorithm

POLICY = ("policy.json", "policy.safetensors")
PROGRESS = "progress.json"  # counters and episode window of the run
MANIFEST = "manifest.json"
LATEST, BEST = "latest", "best"

log = logging.getLogger(__name__)


class BrokenCheckpoint(Exception):
    """A checkpoint differs from its manifest; the message names the file."""


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints/ folder of a run: one folder a checkpoint, named by its env steps."""

    root: Path
    keep: int

    def save(self, algorithm: "Algorithm", name: str, progress: dict[str, Any], contract_hash: str) -> Path:
        """Write a checkpoint, point `latest` at it, and remove older ones beyond `keep`, except `best`.

        A failed write leaves the earlier checkpoints and `latest` unchanged.

        Args:
            algorithm: Its env runners were reset (`Algorithm.reset_episodes`).
            name: The name of the algorithm.
            progress: JSON values; `env_steps`, `updates` and `iteration` are copied into the manifest.
            contract_hash: Of the policy's observations and actions.

        Raises:
            OSError: The checkpoint could not be written.
        """
        from dreamer_exp.checkpoints.state import save_state  # imports torch, which finding a checkpoint does not need

        checkpoint = self.root / f"{progress['env_steps']:09d}"
        about = {key: progress[key] for key in ("iteration", "env_steps", "updates")} | {"contract_hash": contract_hash}
        self._remove_temporary_folders()
        with replace_folder(checkpoint) as temporary:
            save_state(algorithm, name, temporary, about)
            write_json(temporary / PROGRESS, progress)
            write_json(temporary / MANIFEST, manifest(temporary, about))
        write_text(self.root / LATEST, checkpoint.name + "\n")
        self._remove_old()
        return checkpoint

    def mark_best(self, checkpoint: Path) -> None:
        """Point `best` at a checkpoint."""
        write_text(self.root / BEST, checkpoint.name + "\n")

    def named(self, pointer: str) -> Path | None:
        """Return the checkpoint that `latest` or `best` names, or None."""
        file = self.root / pointer
        return self.root / file.read_text(encoding="utf-8").strip() if file.exists() else None

    def all(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def newest_valid(self) -> Path | None:
        """Return the newest checkpoint that agrees with its manifest, or None; log a warning for each skipped one.

        Raises:
            UserError: A newer checkpoint has an unknown format.
        """
        for checkpoint in reversed(self.all()):
            try:
                verify(checkpoint)
            except BrokenCheckpoint as broken:
                log.warning("checkpoint %s skipped: %s", checkpoint.name, broken)
            else:
                return checkpoint
        return None

    def _remove_old(self) -> None:
        best = self.named(BEST)
        for old in self.all()[: -self.keep]:
            if old != best:
                shutil.rmtree(old)

    def _remove_temporary_folders(self) -> None:
        """Remove incomplete checkpoints of killed processes."""
        for folder in self.root.glob(".*.tmp"):
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)


def resolve(path: Path) -> Path:
    """Return the checkpoint that a path names: its own folder, or the best, else the latest one of a run.

    Raises:
        UserError: There is none, its format is unknown, or its policy differs from its manifest.
    """
    store = CheckpointStore(path / "checkpoints", keep=1)
    found = path if (path / MANIFEST).exists() else store.named(BEST) or store.named(LATEST)
    if found is None or not (found / MANIFEST).exists():
        raise UserError(f"{path}: neither a run's directory with a checkpoint nor a checkpoint; name outputs/<run>.")
    try:
        verify(found, POLICY)
    except BrokenCheckpoint as broken:
        raise UserError(f"{broken}; name another checkpoint.") from broken
    return found


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return the manifest's tree.

    Raises:
        BrokenCheckpoint: It is missing or incomplete.
        UserError: Its format is unknown.
    """
    path = checkpoint / MANIFEST
    try:
        tree = parse_object(path.read_bytes())
    except OSError as error:
        raise BrokenCheckpoint(f"{path}: missing or unreadable") from error
    if tree is None:
        raise BrokenCheckpoint(f"{path}: not a JSON object")
    if fault := format_fault(MANIFEST, tree):
        raise UserError(f"{path}: {fault}.")
    if missing := {"files", "env_steps", "contract_hash"} - set(tree):
        raise BrokenCheckpoint(f"{path}: {min(missing)} is missing")
    return tree


def verify(checkpoint: Path, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare every file, or only these, with the manifest; return its tree.

    Raises:
        BrokenCheckpoint: A file is missing, changed, or not in the manifest.
        UserError: The manifest's format is unknown.
    """
    tree = read_manifest(checkpoint)
    for name in only or tree["files"]:
        entry = tree["files"].get(name, {"sha256": None})
        if not (checkpoint / name).is_file() or sha256(checkpoint / name) != entry["sha256"]:
            raise BrokenCheckpoint(f"{checkpoint / name}: missing, or different from {MANIFEST}")
    if only:
        return tree
    unknown = {path.relative_to(checkpoint).as_posix() for path in _files(checkpoint)} - set(tree["files"])
    if unknown:
        raise BrokenCheckpoint(f"{checkpoint / min(unknown)}: not in {MANIFEST}")
    return tree


def manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a checkpoint: `about`, and the SHA-256 sum and size of each file."""
    return {
        "format": current_format(MANIFEST),
        "written_utc": now_utc(),
        **about,
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in sorted(_files(folder))
        },
    }


def sha256(path: Path) -> str:
    """Return the file's SHA-256 sum in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
