"""Baselines' episodes, kept between runs: the same env, seeds and code bring the same episodes.

One JSON file each in $XDG_CACHE_HOME/dreamer_exp/baselines (~/.cache/... where that is not set). The folder may be
deleted at any time; where it cannot be read or written, or a file is not whole, baselines are driven anew.
"""

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import dreamer_exp
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.provenance import package_version


def identity(experiment: Experiment, name: str) -> dict[str, Any] | None:
    """Everything that decides a baseline's episodes; None where that cannot be known.

    An environment names the packages that decide its episodes (EnvSpec.packages), or leaves them open: the code of a
    Gymnasium task or of a Robot SF checkout may change without its version.
    """
    packages = spec_of(experiment.env).packages
    if packages is None:
        return None
    return {
        "baseline": name,
        "env": asdict(experiment.env),
        "seed": experiment.evaluation.seed,
        "episodes": experiment.evaluation.episodes,
        "code": code(),
        "packages": {package: package_version(package) for package in packages},
        "machine": platform.machine(),
    }


def recall(asked: dict[str, Any] | None) -> list[EpisodeResult] | None:
    """The episodes kept under this identity, or None."""
    path = place(asked)
    if asked is None or path is None:
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["identity"] != asked or kept["sha256"] != digest(kept["results"]):
            return None
        return [EpisodeResult(**result) for result in kept["results"]]
    except (OSError, ValueError, KeyError, TypeError):  # absent, unreadable, cut off, or of another form
        return None


def keep(asked: dict[str, Any] | None, results: list[EpisodeResult]) -> None:
    """Keeps the episodes under this identity, where that can be done."""
    path = place(asked)
    if path is None:
        return
    told = [asdict(result) for result in results]
    with contextlib.suppress(OSError):  # a read-only home, a full disk: the next run drives them again
        write_json(path, {"identity": asked, "sha256": digest(told), "results": told})


def place(asked: dict[str, Any] | None) -> Path | None:
    """The file of this identity; None without one, or without a home directory."""
    if asked is None:
        return None
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # no home directory
        return None
    return caches / "dreamer_exp" / "baselines" / f"{asked['baseline']}_{digest(asked)[:32]}.json"


def digest(tree: Any) -> str:
    """The SHA-256 of a tree of JSON values."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


@cache
def code(package: Path = Path(dreamer_exp.__file__).parent) -> str:
    """The SHA-256 of what drives the episodes: the environments, and evaluation/rollout.py."""
    files = [path for path in (package / "envs").rglob("*") if path.suffix in (".py", ".yaml")]
    told = hashlib.sha256()
    for path in sorted([*files, package / "evaluation" / "rollout.py"]):
        told.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return told.hexdigest()
