"""A policy by the name that a user gives: a run's directory, a checkpoint, or `pretrained:NAME`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.checkpoints.manifest import MANIFEST, POLICY, BrokenCheckpoint, read_manifest, resolve, verify
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.formatting import printable

PREFIX = "pretrained:"
PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"


@dataclass(frozen=True)
class PolicySource:
    """The files of a policy, which agree with their manifest.

    Attributes:
        name: as the user named it.
        folder: of policy.safetensors, policy.json and manifest.json.
        root: of experiment.yaml.
    """

    name: str
    folder: Path
    root: Path

    @property
    def is_pretrained(self) -> bool:
        """Whether it is part of this package."""
        return self.root == self.folder

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of its files."""
        return read_manifest(self.folder)

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 sum of each of its two files, by name."""
        files = self.manifest["files"]
        return {name: files[name]["sha256"] for name in POLICY}

    def __str__(self) -> str:
        return printable(self.name if self.is_pretrained else f"{self.root.name}, checkpoint {self.folder.name}")


def find_policy(name: str) -> PolicySource:
    """Return the policy that a user names: the best checkpoint of a run, else its latest one.

    Raises:
        UserError: There is no such policy, or it differs from its manifest.
    """
    if name.startswith(PREFIX):
        return _find_pretrained(name)
    checkpoint = resolve(Path(name).resolve())
    return PolicySource(name, checkpoint, checkpoint.parents[1])


def pretrained_names() -> list[str]:
    """Return the names of the policies in this package."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{MANIFEST}"))


def _find_pretrained(name: str) -> PolicySource:
    wanted, names = name.removeprefix(PREFIX), pretrained_names()
    if wanted not in names:
        there = f"There are: {', '.join(names)}" if names else "This version has none"
        raise UserError(f"{printable(name)}: no such pretrained policy.{nearest(wanted, names)} {there}.")
    folder = PRETRAINED / wanted
    try:
        verify(folder, POLICY)
    except BrokenCheckpoint as broken:
        raise UserError(f"{broken}; install dreamer-exp again.") from broken
    return PolicySource(name, folder, folder)
