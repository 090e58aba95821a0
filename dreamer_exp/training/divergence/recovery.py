"""Recovery from divergence: restore the last good checkpoint once, and continue with different batches."""

import logging

from dreamer_exp.algorithms.nonfinite import NonFiniteLoss, NonFiniteUpdate
from dreamer_exp.algorithms.protocol import Algorithm
from dreamer_exp.checkpoints.resume import point
from dreamer_exp.checkpoints.resume.point import ResumePoint
from dreamer_exp.monitoring.record import reason
from dreamer_exp.training.context import RunContext
from dreamer_exp.training.divergence.report import write_diagnostics

log = logging.getLogger(__name__)


class Diverged(Exception):
    """A second non-finite loss in a run, or a first one without a checkpoint."""


class Recovery:
    """Recovery of one run, which is allowed once."""

    def __init__(self, run: RunContext, algorithm: Algorithm) -> None:
        self._run, self._algorithm = run, algorithm
        self._used = False

    def recover(self, loss: NonFiniteLoss) -> None:
        """Write diagnostics, then put run and algorithm back to the newest complete checkpoint.

        Raises:
            Diverged: the run recovered once already, or there is no checkpoint.
        """
        run, algorithm = self._run, self._algorithm
        kept = point.find_resume_point(run.checkpoints)
        self._diagnose(loss, kept)
        if self._used or kept is None:
            raise Diverged(f"{loss}{'' if kept else '; there was no checkpoint to restore'}") from loss
        self._used = True
        log.warning("%s; restoring checkpoint %s, once, with other batches", loss, kept.checkpoint.name)
        point.drop_later_rows(run.directory, kept)
        run.restore(kept)
        point.restore(algorithm, kept)
        algorithm.reseed_replay(1)

    def _diagnose(self, loss: NonFiniteLoss, kept: ResumePoint | None) -> None:
        """Write diagnostics/ if the learner knows which update diverged."""
        cause = reason(loss)
        if not isinstance(cause, NonFiniteUpdate):
            return
        run, checkpoint = self._run, kept.checkpoint if kept else None
        try:
            folder = write_diagnostics(
                run.directory.root, cause, self._algorithm, run.contract, checkpoint, spec=run.spec
            )
        except OSError as problem:
            log.warning("diagnostics/ could not be written: %s", problem)
        else:
            log.warning("diagnostics of the update: %s", folder)
