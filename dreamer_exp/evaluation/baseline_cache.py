"""A cache of the baselines' episodes: the same env, seeds and code give the same episodes.

One JSON file for each baseline and identity in $XDG_CACHE_HOME/dreamer_exp/baselines (by default ~/.cache/...). The
folder may be deleted at any time. Files that cannot be read or written or that are damaged are ignored: the episodes
run again.
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
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.provenance import package_version

MODULES = ("baselines", "episodes", "generators", "impossible", "recorder", "rollout", "social")
SOURCES = ("envs", *(f"evaluation/{name}.py" for name in MODULES))


def identity(experiment: Experiment, name: str) -> dict[str, Any] | None:
    """Return everything that decides a baseline's episodes; None if that is not known.

    An environment names the packages that decide its episodes (EnvSpec.packages) or None if they are not known: the
    code of a Gymnasium task or of a Robot SF checkout can change without its version.
    """
    packages = spec_of(experiment.env).packages
    if packages is None:
        return None
    return {
        "baseline": name,
        "env": asdict(experiment.env),
        "seed": experiment.evaluation.seed,
        "episodes": [asdict(episode) for episode in episode_list(experiment).episodes],
        "code": code_digest(),
        "packages": {package: package_version(package) for package in packages},
        "machine": platform.machine(),
    }


def load(key: dict[str, Any] | None) -> list[EpisodeResult] | None:
    """Return the cached episodes of an identity, or None."""
    path = cache_file(key)
    if key is None or path is None:
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["identity"] != key or tree["sha256"] != digest(tree["results"]):
            return None
        return [EpisodeResult.from_dict(result) for result in tree["results"]]
    except (OSError, ValueError, KeyError, TypeError):  # missing, unreadable, cut off, or of another format
        return None


def save(key: dict[str, Any] | None, results: list[EpisodeResult]) -> None:
    """Cache the episodes of an identity if that is possible."""
    path = cache_file(key)
    if path is None:
        return
    trees = [result.to_dict() for result in results]
    with contextlib.suppress(OSError):  # a read-only home, a full disk: the next run repeats the episodes
        write_json(path, {"identity": key, "sha256": digest(trees), "results": trees})


def cache_file(key: dict[str, Any] | None) -> Path | None:
    """Return the file of an identity; None without an identity or a home directory."""
    if key is None:
        return None
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # no home directory
        return None
    return caches / "dreamer_exp" / "baselines" / f"{key['baseline']}_{digest(key)[:32]}.json"


def digest(tree: Any) -> str:
    """Return the SHA-256 of a tree of JSON values."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


@cache
def code_digest(package: Path = Path(dreamer_exp.__file__).parent, sources: tuple[str, ...] = SOURCES) -> str:
    """Return the SHA-256 of the code that produces the episodes: files of the package, and all code of its folders."""
    folders = [path for path in (package / name for name in sources) if path.is_dir()]
    files = {path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml")}
    sha256 = hashlib.sha256()
    for path in sorted(files | {package / name for name in sources if name.endswith(".py")}):
        sha256.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha256.hexdigest()
