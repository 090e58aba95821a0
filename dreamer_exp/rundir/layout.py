"""One run's directory: the names of its files, and how they are written so that a failure harms nothing."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_text


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run (docs: README, "The output directory")."""

    root: Path

    @property
    def experiment(self) -> Path:
        """The resolved Experiment."""
        return self.root / "experiment.yaml"

    @property
    def provenance(self) -> Path:
        """Commit, versions, machine, command line."""
        return self.root / "provenance.json"

    @property
    def patch(self) -> Path:
        """The uncommitted changes of the checkout that ran it."""
        return self.root / "uncommitted.patch"

    @property
    def status(self) -> Path:
        """State of the run, replaced atomically."""
        return self.root / "status.json"

    @property
    def result(self) -> Path:
        """One JSON row an iteration."""
        return self.root / "result.jsonl"

    @property
    def evaluation(self) -> Path:
        """One JSON row an evaluation."""
        return self.root / "evaluation.jsonl"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint, and the text files latest and best."""
        return self.root / "checkpoints"

    @property
    def summary(self) -> Path:
        """What the run came to, written whatever happens."""
        return self.root / "run_summary.json"

    @property
    def report(self) -> Path:
        """Figures of this run."""
        return self.root / "report"

    @property
    def imagination(self) -> Path:
        """The world model's check."""
        return self.report / "imagination.png"

    @property
    def error(self) -> Path:
        """The traceback of a failed run."""
        return self.root / "error.txt"


def read_tree(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no whole one."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def cut_rows(path: Path, keep: Callable[[dict[str, Any]], bool]) -> int:
    """Keeps the first rows of a .jsonl file, up to the first that is broken or not to be kept; how many lines went."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = list(takewhile(lambda line: line.endswith("\n") and _keeps(keep, line), lines))
    if len(kept) < len(lines):
        write_text(path, "".join(kept))
    return len(lines) - len(kept)


def _keeps(keep: Callable[[dict[str, Any]], bool], line: str) -> bool:
    try:
        return keep(json.loads(line))
    except (ValueError, KeyError, TypeError):  # the end of a process that was killed while it wrote
        return False


def remove_traces(root: Path) -> None:
    """Takes away what Hydra wrote for a run that never began; a directory that holds anything else stays."""
    shutil.rmtree(root / ".hydra", ignore_errors=True)
    remove_if_empty(root)


def remove_if_empty(folder: Path) -> None:
    """Removes a folder that holds nothing."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def refuse_second_run(root: Path) -> None:
    """Refuses a directory that holds a run already: their rows and checkpoints would mix; raises UserError."""
    if RunDirectory(root).status.exists():
        raise UserError(f"hydra.run.dir={root} already holds a run: name another directory, or move that one away.")
