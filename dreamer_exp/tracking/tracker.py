"""Experiment trackers next to a run's own files: the protocol, and the tracker that `tracking` names."""

from pathlib import Path
from typing import Any, Protocol

from dreamer_exp.config.experiment import Experiment


class Tracker(Protocol):
    """Destination of metrics besides result.jsonl and evaluation.jsonl.

    Creating a tracker may raise UserError. After that, it never raises: a run does not fail because of its tracker.
    """

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Log the numbers of a row at this env step; other values are left out."""

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Log the final metrics and close the tracker."""


class NoTracker:
    """tracking=none."""

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Do nothing."""

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Do nothing."""


def make_tracker(experiment: Experiment, root: Path) -> Tracker:
    """Return the tracker that `tracking.name` names; its library is imported only if it is used.

    Args:
        experiment: Whose `tracking` is read and whose keys are logged.
        root: The run's directory, where a tracker keeps its files.

    Raises:
        UserError: The tracker cannot start.
    """
    if experiment.tracking.name == "wandb":
        from dreamer_exp.tracking.wandb.tracker import WandbTracker

        return WandbTracker(experiment, root)
    return NoTracker()
