"""Reading of checkpoints without ray or torch: which one is named, and whether it agrees with its manifest.

A checkpoint may come from someone else: names are taken as names of entries of a folder, and no link is followed.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import now_utc, printable, shortened
from dreamer_exp.rundir.formats import current_format, format_fault
from dreamer_exp.rundir.parse import Unparsable, parse_json
from dreamer_exp.rundir.plain_file import is_plain, is_plain_folder, open_plain, read_plain, refuse_sparse

POLICY = ("policy.json", "policy.safetensors")
MANIFEST = "manifest.json"
LATEST, BEST = "latest", "best"
CHECKPOINTS = "checkpoints"
MAX_JSON_BYTES = 2**22
MAX_POINTER_BYTES = 2**10
FOLDER_NAME = re.compile(r"[0-9]{9,18}")  # env steps
COUNTS = ("env_steps", "updates")


class BrokenCheckpoint(Exception):
    """A checkpoint differs from its manifest, or is not one; the message names the file."""


def checkpoint_folders(root: Path) -> list[Path]:
    """Return the checkpoints in a run's checkpoints/, oldest first; links and folders of other names are left out."""
    if not is_plain_folder(root):
        return []
    found = [path for path in root.iterdir() if FOLDER_NAME.fullmatch(path.name) and is_plain_folder(path)]
    return sorted(found, key=lambda path: int(path.name))


def named_checkpoint(root: Path, pointer: str) -> Path | None:
    """Return the checkpoint that `latest` or `best` names, or None without such a file.

    Raises:
        BrokenCheckpoint: It names anything but a checkpoint in the same folder.
    """
    file = root / pointer
    if not os.path.lexists(file):
        return None
    try:
        name = read_plain(file, MAX_POINTER_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise BrokenCheckpoint(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BrokenCheckpoint(f"{file}: not a text") from error
    if not FOLDER_NAME.fullmatch(name) or not is_plain_folder(root / name):
        raise BrokenCheckpoint(f"{file} names {shortened(printable(name), 60)!r}, which is not a checkpoint next to it")
    return root / name


def resolve(path: Path) -> Path:
    """Return the checkpoint that a path names: its own folder, or the best, else the latest one of a run.

    Raises:
        UserError: There is none, its format is unknown, or its policy differs from its manifest.
    """
    root = path / CHECKPOINTS
    try:
        if is_plain(path / MANIFEST):
            found: Path | None = path
        elif os.path.lexists(root) and not is_plain_folder(root):
            raise BrokenCheckpoint(f"{root}: is not a folder, or a symbolic link, which is not followed")
        else:
            found = named_checkpoint(root, BEST) or named_checkpoint(root, LATEST)
        if found is not None:
            verify(found, POLICY)
            return found
    except BrokenCheckpoint as broken:
        raise UserError(f"{broken}; name another checkpoint.") from broken
    raise UserError(f"{path}: neither a run's directory with a checkpoint nor a checkpoint; name outputs/<run>.")


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return the manifest's tree.

    Raises:
        BrokenCheckpoint: It is missing, incomplete, of another form, or of an unknown format.
    """
    path = checkpoint / MANIFEST
    tree = read_json(path)
    if not isinstance(tree, dict):
        raise BrokenCheckpoint(f"{path}: not a JSON object")
    if fault := format_fault(MANIFEST, tree):
        raise BrokenCheckpoint(f"{path}: {shortened(printable(fault))}")
    if missing := {"files", "contract_hash", *COUNTS} - set(tree):
        raise BrokenCheckpoint(f"{path}: {min(missing)} is missing")
    is_valid = {
        "files": isinstance(tree["files"], dict) and all(map(_is_entry, tree["files"].values())),
        "contract_hash": isinstance(tree["contract_hash"], str),
        **{name: is_count(tree[name]) for name in COUNTS},
    }
    if is_valid["files"] and (outside := [name for name in tree["files"] if not _is_inside(name)]):
        raise BrokenCheckpoint(f"{path}: names {shortened(printable(outside[0]), 60)!r}, outside of the checkpoint")
    if invalid := [name for name, valid in is_valid.items() if not valid]:
        raise BrokenCheckpoint(f"{path}: {invalid[0]} is not what a checkpoint has there")
    return tree


def verify(checkpoint: Path, only: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare every file, or only these, with the manifest; return its tree.

    Raises:
        BrokenCheckpoint: A file is missing, changed, a link, or not in the manifest.
    """
    tree = read_manifest(checkpoint)
    there = {name: checkpoint / name for name in only} if only else dict(_plain_files(checkpoint))
    for name in only or tree["files"]:
        entry = tree["files"].get(name)
        if entry is None or name not in there or not _agrees(there[name], entry):
            shown = checkpoint / shortened(printable(name))
            raise BrokenCheckpoint(f"{shown}: missing, or different from {MANIFEST}")
    if unknown := set() if only else set(there) - set(tree["files"]):
        raise BrokenCheckpoint(f"{checkpoint / min(unknown)}: not in {MANIFEST}")
    return tree


def manifest(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest of a checkpoint: `about`, and the SHA-256 sum and size of each file."""
    return {
        "format": current_format(MANIFEST),
        "written_utc": now_utc(),
        **about,
        "files": {
            name: {"sha256": sha256(path), "bytes": path.stat().st_size} for name, path in sorted(_plain_files(folder))
        },
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 sum of a plain file in hex; raises OSError for any other, and for a sparse one."""
    with open_plain(path) as file:
        refuse_sparse(file)
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Return the value in a small JSON file of a checkpoint.

    Raises:
        BrokenCheckpoint: It is missing, too large, too deep, or not JSON.
    """
    try:
        return parse_json(read_plain(path, MAX_JSON_BYTES))
    except FileNotFoundError as error:
        raise BrokenCheckpoint(f"{path}: missing") from error
    except (OSError, Unparsable) as error:
        raise BrokenCheckpoint(f"{path}: {_reason(error)}") from error


def is_count(value: Any) -> bool:
    """Return whether a JSON value is a whole number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and is_count(entry.get("bytes"))


def _is_inside(name: str) -> bool:
    """Return whether a file's name stays in the checkpoint's folder."""
    parts = name.split("/")
    return not {"", ".", ".."} & set(parts) and "\0" not in name


def _agrees(path: Path, entry: dict[str, Any]) -> bool:
    try:
        return bool(os.lstat(path).st_size == entry["bytes"] and sha256(path) == entry["sha256"])
    except OSError:
        return False


def _plain_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file of a checkpoint but its manifest.

    Raises:
        BrokenCheckpoint: There is a link, a pipe or a device.
    """
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *files)):
            kind = path.lstat().st_mode
            if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
                raise BrokenCheckpoint(f"{path}: neither a plain file nor a folder; links are not followed")
            if stat.S_ISREG(kind) and path != folder / MANIFEST:
                yield path.relative_to(folder).as_posix(), path


def _reason(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)
