"""Weights & Biases beside the run's own files: offline by default; once begun, never a reason for a run to fail."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dreamer_exp.config.errors import UserError, first_line
from dreamer_exp.config.experiment import Experiment

INIT_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """Where rows go besides result.jsonl."""

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Sends one row."""

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Sends the closing figures and closes."""


class NoTracker:
    """tracking=none."""

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Does nothing."""

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Does nothing."""


class WandbTracker:
    """One W&B run in the run's directory; null figures are left out, as W&B draws them as gaps by itself."""

    def __init__(self, experiment: Experiment, root: Path) -> None:
        """Opens the run; online, W&B asks for its login as it always does. Raises UserError if it cannot begin."""
        import wandb

        tracking = experiment.tracking
        try:
            self._run = wandb.init(
                mode=tracking.mode,  # type: ignore[arg-type]  # checked against the same words in config/schema.py
                dir=root,
                project=tracking.project,
                entity=tracking.entity,
                group=tracking.group,
                job_type=tracking.job_type,
                tags=tracking.tags,
                name=root.name,
                config={"fingerprint": experiment.fingerprint(), **experiment.to_dict()},
                settings=wandb.Settings(
                    console="off", silent=tracking.mode == "offline", disable_git=True, init_timeout=INIT_TIMEOUT_S
                ),
            )
        except wandb.Error as error:
            raise UserError(
                f"tracking.mode={tracking.mode!r}: W&B cannot begin ({first_line(error)}); use tracking=wandb_offline."
            ) from error
        self._run.define_metric("*", step_metric="env_steps")
        self._broken = False

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Sends the figures of a row, drawn over env_steps."""
        figures = {name: value for name, value in row.items() if isinstance(value, (int, float))}
        self._try(lambda: self._run.log({**figures, "env_steps": env_steps}))

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Sends the summary and closes the run."""
        self._try(lambda: self._run.summary.update(summary))
        self._try(lambda: self._run.finish(exit_code=int(failed)))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # W&B raises types of its own making; the run's files hold it all
            if not self._broken:
                log.warning("W&B stopped working, the run goes on without it: %s", error)
            self._broken = True


def make_tracker(experiment: Experiment, root: Path) -> Tracker:
    """The tracker that `tracking` names; wandb is imported only if it is used."""
    return WandbTracker(experiment, root) if experiment.tracking.name == "wandb" else NoTracker()
