"""The checkpoints of a run: atomic writes, a manifest with SHA-256 sums, and the pointers latest and best."""

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dreamer_exp.checkpoints.manifest import (
    BEST,
    LATEST,
    MANIFEST,
    BrokenCheckpoint,
    checkpoint_folders,
    manifest,
    named_checkpoint,
    verify,
)
from dreamer_exp.formatting import printable
from dreamer_exp.rundir.atomic import replace_folder, write_json, write_text

if TYPE_CHECKING:
    from dreamer_exp.algorithms.protocol import Algorithm

PROGRESS = "progress.json"  # counters and episode window of the run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointStore:
    """The checkpoints/ folder of a run: one folder a checkpoint, named by its env steps."""

    root: Path
    keep: int

    def save(
        self,
        algorithm: "Algorithm",
        name: str,
        progress: dict[str, Any],
        contract_hash: str,
        interface: Mapping[str, Any] = MappingProxyType({}),
        *,
        in_evaluation: Path | None = None,
    ) -> Path:
        """Write a checkpoint, point `latest` at it, and remove older ones beyond `keep`, except `best`.

        A failed write leaves the earlier checkpoints and `latest` unchanged.

        Args:
            algorithm: Its env runners were reset (`Algorithm.reset_episodes`).
            name: The name of the algorithm.
            progress: JSON values; `env_steps`, `updates` and `iteration` are copied into the manifest.
            contract_hash: Of the policy's observations and actions.
            interface: Further JSON values for policy.json (policy_interface.py).
            in_evaluation: A checkpoint that may become the best; it is not removed.

        Raises:
            OSError: The checkpoint could not be written.
        """
        from dreamer_exp.checkpoints.state import save_state  # imports torch, which finding a checkpoint does not need

        checkpoint = self.root / f"{progress['env_steps']:09d}"
        about = {key: progress[key] for key in ("iteration", "env_steps", "updates")} | {"contract_hash": contract_hash}
        self._remove_temporary_folders()
        with replace_folder(checkpoint) as temporary:
            save_state(algorithm, name, temporary, {**about, **interface})
            write_json(temporary / PROGRESS, progress)
            write_json(temporary / MANIFEST, manifest(temporary, about))
        write_text(self.root / LATEST, checkpoint.name + "\n")
        self._remove_old(in_evaluation)
        return checkpoint

    def mark_best(self, checkpoint: Path) -> None:
        """Point `best` at a checkpoint."""
        write_text(self.root / BEST, checkpoint.name + "\n")

    def all(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return checkpoint_folders(self.root)

    def newest_valid(self, check: Callable[[Path], object] = verify) -> Path | None:
        """Return the newest checkpoint that passes the check, or None; log a warning for each one that does not.

        Args:
            check: Raises BrokenCheckpoint; by default, the comparison with the manifest.
        """
        for checkpoint in reversed(self.all()):
            try:
                check(checkpoint)
            except BrokenCheckpoint as broken:
                log.warning("checkpoint %s skipped: %s", checkpoint.name, printable(str(broken)))
            else:
                return checkpoint
        return None

    def _remove_old(self, in_evaluation: Path | None) -> None:
        try:
            best = named_checkpoint(self.root, BEST)
        except BrokenCheckpoint:  # it protects no checkpoint
            best = None
        for old in self.all()[: -self.keep]:
            if old not in (best, in_evaluation):
                shutil.rmtree(old)

    def _remove_temporary_folders(self) -> None:
        """Remove incomplete checkpoints of killed processes."""
        for folder in self.root.glob(".*.tmp"):
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
