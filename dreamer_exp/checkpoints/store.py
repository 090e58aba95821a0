"""Checkpoints: written beside, synced, renamed; a manifest with sha256 sums; latest and best move last."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.checkpoints.state import save_state
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import replace_folder, write_json, write_text
from dreamer_exp.rundir.provenance import now_utc

POLICY = ("policy.json", "policy.safetensors")
PROGRESS = "progress.json"  # counters and window of the run at this step
MANIFEST = "manifest.json"
LATEST, BEST = "latest", "best"

log = logging.getLogger(__name__)


class BrokenCheckpoint(Exception):
    """A checkpoint isn't what its manifest says: names the file."""


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints/ folder of a run: one folder a checkpoint, named by its env steps."""

    root: Path
    keep: int

    def save(self, algorithm: BaseDreamerV3, progress: dict[str, Any], contract_hash: str) -> Path:
        """Writes a checkpoint and points `latest` at it; older ones beyond `keep` go, `best` stays.

        A write that fails leaves the earlier checkpoints and `latest` as they were.

        Args:
            algorithm: whose env runners have begun anew.
            progress: JSON values; `env_steps`, `updates` and `iteration` are told in the manifest too.
            contract_hash: of the observations that the policy takes.
        """
        name = f"{progress['env_steps']:09d}"
        about = {key: progress[key] for key in ("iteration", "env_steps", "updates")} | {"contract_hash": contract_hash}
        self._drop_remains()
        with replace_folder(self.root / name) as temporary:
            save_state(algorithm, temporary, about)
            write_json(temporary / PROGRESS, progress)
            write_json(temporary / MANIFEST, manifest(temporary, about))
        write_text(self.root / LATEST, name + "\n")
        self._drop_old()
        return self.root / name

    def mark_best(self, checkpoint: Path) -> None:
        """Points `best` at a checkpoint."""
        write_text(self.root / BEST, checkpoint.name + "\n")

    def named(self, pointer: str) -> Path | None:
        """The checkpoint that `latest` or `best` names, if there is one."""
        file = self.root / pointer
        return self.root / file.read_text(encoding="utf-8").strip() if file.exists() else None

    def all(self) -> list[Path]:
        """The checkpoints, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def newest_whole(self) -> Path | None:
        """The newest checkpoint that is what its manifest says; a line in the log for each one passed over."""
        for checkpoint in reversed(self.all()):
            try:
                verify(checkpoint)
            except BrokenCheckpoint as broken:
                log.warning("checkpoint %s passed over: %s", checkpoint.name, broken)
            else:
                return checkpoint
        return None

    def _drop_old(self) -> None:
        best = self.named(BEST)
        for old in self.all()[: -self.keep]:
            if old != best:
                shutil.rmtree(old)

    def _drop_remains(self) -> None:
        """Half-written checkpoints of a process that was killed."""
        for remains in self.root.glob(".*.tmp"):
            if remains.is_dir():
                shutil.rmtree(remains, ignore_errors=True)


def resolve(path: Path) -> Path:
    """The checkpoint that a path means: a checkpoint's folder itself, or a run's best, else latest one.

    Raises:
        UserError: there is none, or its policy is not what its manifest says.
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
    """The manifest's tree; raises BrokenCheckpoint where there is no whole one."""
    try:
        tree: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        tree["files"], tree["env_steps"], tree["contract_hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenCheckpoint(f"{checkpoint / MANIFEST}: missing or not a whole manifest") from error
    return tree


def verify(checkpoint: Path, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Holds every file, or only these, against the manifest, and returns that; raises BrokenCheckpoint."""
    tree = read_manifest(checkpoint)
    for name in only or tree["files"]:
        entry = tree["files"].get(name, {"sha256": None})
        if not (checkpoint / name).is_file() or sha256(checkpoint / name) != entry["sha256"]:
            raise BrokenCheckpoint(f"{checkpoint / name}: missing or not what the manifest says")
    if only:
        return tree
    unknown = {path.relative_to(checkpoint).as_posix() for path in _files(checkpoint)} - set(tree["files"])
    if unknown:
        raise BrokenCheckpoint(f"{checkpoint / min(unknown)}: not in the manifest")
    return tree


def manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint is, with the sha256 and size of each of its files."""
    return {
        "format": 2,
        "written_utc": now_utc(),
        **about,
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in sorted(_files(folder))
        },
    }


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
