"""Experiment trackers next to a run's own files: the protocol, and the tracker that `tracking` names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.tracking.used import TENSORBOARD, USED, WANDB


class Tracker(Protocol):
    """Destination of metrics besides result.jsonl and evaluation.jsonl.

    Creating a tracker may raise UserError. After that, it never raises: a run does not fail because of its tracker.
    """

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Log the numbers of a row at this env step; other values are left out."""

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Log the final metrics and close the tracker."""


class Trackers:
    """Any number of trackers, which log the same rows under the same names."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.trackers = tuple(trackers)

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Log the row with each."""
        for tracker in self.trackers:
            tracker.log(row, env_steps)

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Close each."""
        for tracker in self.trackers:
            tracker.finish(summary, failed)


def make_tracker(experiment: Experiment, root: Path, env_steps: int = 0) -> Tracker:
    """Return the tracker, or the trackers, that `tracking.name` names; a library is imported only if it is used.

    Args:
        experiment: Whose `tracking` is read and whose keys are logged.
        root: The run's directory, where a tracker keeps its files.
        env_steps: Of the checkpoint that the run resumes from, else 0.

    Raises:
        UserError: A tracker cannot start.
    """
    names, trackers = USED[experiment.tracking.name], list[Tracker]()
    if TENSORBOARD in names:
        from dreamer_exp.tracking.tensorboard import TensorBoardTracker

        trackers.append(TensorBoardTracker(experiment, root, env_steps))
    if WANDB in names:
        from dreamer_exp.tracking.wandb.tracker import WandbTracker

        trackers.append(WandbTracker(experiment, root))
    return Trackers(trackers)
