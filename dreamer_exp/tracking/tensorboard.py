"""The tracker of TensorBoard: event files in the run's folder tensorboard/, written by tensorboardX."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import tensorboardX

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment

FOLDER = "tensorboard"
FLUSH_S = 10

log = logging.getLogger(__name__)


class TensorBoardTracker:
    """One event file for each start and resume of a run; TensorBoard shows those of a folder as one run."""

    def __init__(self, experiment: Experiment, root: Path, env_steps: int) -> None:
        """Open an event file.

        Args:
            experiment: Is written as text.
            root: The run's directory.
            env_steps: Of the checkpoint that the run resumes from, else 0. TensorBoard drops what earlier files have
                after it, as these steps are repeated.

        Raises:
            UserError: The file cannot be written.
        """
        try:
            self._writer = tensorboardX.SummaryWriter(
                str(root / FOLDER),
                purge_step=env_steps + 1 if env_steps else None,
                flush_secs=FLUSH_S,
                filename_suffix=f".{env_steps}",  # a file of the same second would be overwritten
            )
            self._writer.add_text("experiment.yaml", f"```yaml\n{experiment.to_yaml()}```", env_steps)
        except OSError as error:
            raise UserError(f"tracking: {root / FOLDER} cannot be written ({error}); use tracking=none.") from error
        self._is_broken = False

    def log(self, row: dict[str, Any], env_steps: int) -> None:
        """Log the numbers of a row at this env step."""
        for name, value in row.items():
            if isinstance(value, (int, float)):
                self._try(partial(self._writer.add_scalar, name, value, env_steps))

    def finish(self, summary: dict[str, Any], failed: bool) -> None:
        """Close the event file; the rows have the final metrics already."""
        self._try(self._writer.close)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # its own, of the disk and of the values; the run's files hold everything
            if not self._is_broken:
                log.warning("TensorBoard's event file could not be written, the run continues without it: %s", error)
            self._is_broken = True
