"""Checkpoints: written beside, synced, renamed; a manifest with sha256 sums; latest and best move last."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.dreamer.algorithm import LoopedDreamerV3
from dreamer_exp.runs.directory import write_json, write_text
from dreamer_exp.runs.provenance import now_utc

RLLIB = "rllib"  # RLlib's own checkpoint, inside ours
MANIFEST = "manifest.json"
LATEST, BEST = "latest", "best"


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints/ folder of a run: one folder a checkpoint, named by its env steps."""

    root: Path
    keep: int

    def save(self, algorithm: LoopedDreamerV3, counters: dict[str, int], contract_hash: str) -> Path:
        """Writes a checkpoint and points `latest` at it; older ones beyond `keep` go, `best` stays.

        A write that fails leaves the earlier checkpoints and `latest` as they were.
        """
        name = f"{counters['env_steps']:09d}"
        beside = self.root / f".{name}.{os.getpid()}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            algorithm.save_to_path(str((beside / RLLIB).resolve()))  # RLlib wants an absolute path
            write_json(beside / "counters.json", counters)
            write_json(beside / MANIFEST, manifest(beside, counters, contract_hash))
            _sync(beside)
            shutil.rmtree(self.root / name, ignore_errors=True)
            os.replace(beside, self.root / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
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

    def _drop_old(self) -> None:
        best = self.named(BEST)
        for old in self.all()[: -self.keep]:
            if old != best:
                shutil.rmtree(old)


def resolve(path: Path) -> Path:
    """The checkpoint that a path means: a checkpoint's folder itself, or a run's best, else latest one.

    Raises:
        UserError: there is none, or one of its files is not what its manifest says.
    """
    store = CheckpointStore(path / "checkpoints", keep=1)
    found = path if (path / MANIFEST).exists() else store.named(BEST) or store.named(LATEST)
    if found is None or not (found / MANIFEST).exists():
        raise UserError(f"{path}: neither a run's directory with a checkpoint nor a checkpoint; name outputs/<run>.")
    try:
        files = json.loads((found / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError) as error:
        raise UserError(f"{found / MANIFEST}: not a whole manifest; name another checkpoint.") from error
    for name, entry in files.items():
        if not (found / name).exists() or sha256(found / name) != entry["sha256"]:
            raise UserError(f"{found / name}: missing or not what the manifest says; name another checkpoint.")
    return found


def manifest(folder: Path, counters: dict[str, int], contract_hash: str) -> dict[str, Any]:
    """What a checkpoint is, with the sha256 and size of each of its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        "format": 1,
        "written_utc": now_utc(),
        **counters,
        "contract_hash": contract_hash,
        "files": {
            path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in files
        },
    }


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
