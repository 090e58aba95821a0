"""The tracker of Weights & Biases, offline by default."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wandb

from dreamer_exp.config.errors import UserError, first_line
from dreamer_exp.config.experiment import Experiment

INIT_TIMEOUT_S = 30.0

log = logging.getLogger(__name__)


class WandbTracker:
    """One W&B run in the run's directory. Null metrics are left out; W&B draws them as gaps."""

    def __init__(self, experiment: Experiment, root: Path) -> None:
        """Start the W&B run; online, W&B asks for its login as usual.

        Raises:
            UserError: W&B cannot start.
        """
        tracking = experiment.tracking
        try:
            self._run = wandb.init(
                mode=tracking.mode,  # type: ignore[arg-type]  # config/schema.py allows the same words
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
                f"tracking.mode={tracking.mode!r}: W&B cannot start ({first_line(error)}); use tracking=wandb_offline."
            ) from error
        self._run.define_metric("*", step_metric="env_steps")
        self._is_broken = False

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Log the numbers of a row at this env step."""
        numbers = {name: value for name, value in row.items() if isinstance(value, (int, float))}
        self._try(lambda: self._run.log({**numbers, "env_steps": env_steps}))

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Log the final metrics and close the W&B run."""
        self._try(lambda: self._run.summary.update(summary))
        self._try(lambda: self._run.finish(exit_code=int(failed)))

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # W&B has its own exception types; the run's files hold everything
            if not self._is_broken:
                log.warning("W&B stopped working, the run continues without it: %s", error)
            self._is_broken = True
