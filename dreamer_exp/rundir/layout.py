"""The names of the files in a run's directory."""

import os
from dataclasses import dataclass
from pathlib import Path

EVALUATION = "evaluation.jsonl"
RUN_FILES = ("experiment.yaml", "status.json", "result.jsonl")  # each marks a run's directory
SWEEP_FILES = ("sweep.json", "sweep_summary.json", "multirun.yaml")  # each marks a sweep's


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run; docs/checkpoint_format.md describes them."""

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
        """Uncommitted changes of the checkout that started the run."""
        return self.root / "uncommitted.patch"

    @property
    def status(self) -> Path:
        """State of the run."""
        return self.root / "status.json"

    @property
    def result(self) -> Path:
        """One JSON row an iteration."""
        return self.root / "result.jsonl"

    @property
    def evaluation(self) -> Path:
        """One JSON row an evaluation."""
        return self.root / EVALUATION

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint, and the text files latest and best."""
        return self.root / "checkpoints"

    @property
    def summary(self) -> Path:
        """Last and best figures, written at every end of the run."""
        return self.root / "run_summary.json"

    @property
    def report(self) -> Path:
        """Figures and evaluation reports."""
        return self.root / "report"

    @property
    def imagination(self) -> Path:
        """Figure of the world-model check."""
        return self.report / "imagination.png"

    @property
    def page(self) -> Path:
        """The run on one page, for a browser."""
        return self.report / "index.html"

    @property
    def error(self) -> Path:
        """Traceback of a failed run."""
        return self.root / "error.txt"

    def paths(self) -> tuple[Path, ...]:
        """Return the files and folders that a run writes."""
        return (
            self.experiment, self.provenance, self.patch, self.status, self.result, self.evaluation, self.checkpoints,
            self.summary, self.report, self.error,
        )  # fmt: skip


def is_sweep(folder: Path) -> bool:
    """Return whether this is the directory of one sweep."""
    return any(os.path.isfile(folder / name) for name in SWEEP_FILES)


def leads_to_runs(entry: "os.DirEntry[str]") -> bool:
    """Return whether a search enters a folder's entry: a folder, or a link to a run's directory or a sweep's.

    Links to other folders are not followed: a search through one would leave the folders that it was given.
    """
    if not os.path.isdir(entry.path):  # DirEntry.is_dir raises for a link to itself
        return False
    return not entry.is_symlink() or any(os.path.isfile(f"{entry.path}/{name}") for name in (*RUN_FILES, *SWEEP_FILES))
