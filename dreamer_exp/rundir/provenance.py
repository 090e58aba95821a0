"""Origin of a run: commit, uncommitted changes, versions, machine, command line; no environment variables."""

import hashlib
import importlib.util
import platform
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dreamer_exp import __version__
from dreamer_exp.formatting import now_utc
from dreamer_exp.hardware import Machine
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.formats import current_format

MAX_PATCH_BYTES = 2**20  # larger uncommitted changes are not saved
PACKAGE = Path(__file__).resolve().parents[1]
PACKAGES = ("ray", "torch", "triton", "gymnasium", "numpy", "hydra-core", "omegaconf", "navground", "wandb", "robot-sf")


def collect(machine: Machine, gpu_names: list[str], packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return the tree of provenance.json.

    Args:
        machine: the machine of the run.
        gpu_names: the GPUs that torch can use there.
        packages: distributions, besides PACKAGES, whose versions are recorded.
    """
    return {
        "format": current_format("provenance.json"),
        "started_utc": now_utc(),
        "command_line": sys.argv,
        "dreamer_exp": __version__,
        "git": git_state(PACKAGE),
        "robot_sf_git": git_state(robot_sf) if (robot_sf := package_folder("robot_sf")) else None,
        "python": platform.python_version(),
        "packages": {name: package_version(name) for name in dict.fromkeys([*PACKAGES, *packages])},
        "machine": asdict(machine),
        "gpu_names": gpu_names,
    }


def package_folder(name: str) -> Path | None:
    """Return the folder of the package on this Python's path, or None, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit, `dirty` and the hash of the uncommitted changes; None outside a checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or _git(folder, "ls-files", "--error-unmatch", str(folder / "__init__.py")) is None:
        return None  # no checkout, or one that does not track the package (a virtual environment in a project)
    diff = uncommitted_changes(folder)
    return {
        "commit": commit.strip(),
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff.encode()).hexdigest() if diff else None,
    }


def uncommitted_changes(folder: Path) -> str:
    """Return `git diff HEAD` of a folder's checkout."""
    return _git(folder, "diff", "--binary", "HEAD") or ""


def save_uncommitted_changes(path: Path, folder: Path = PACKAGE) -> None:
    """Write the uncommitted changes of a package's checkout, unless there are none or more than MAX_PATCH_BYTES."""
    text = uncommitted_changes(folder) if git_state(folder) else ""
    if 0 < len(text.encode()) <= MAX_PATCH_BYTES:
        write_text(path, text)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
