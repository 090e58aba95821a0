"""`resume=<run's directory>`: the request to resume a run there, with further overrides."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from dreamer_exp.checkpoints.resume.point import ResumePoint, read_provenance, require_resume_point
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config import load, saved_experiment
from dreamer_exp.config.command_words import is_dry_run, path_value
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.encoders import VECTOR
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import require
from dreamer_exp.formatting import printable
from dreamer_exp.hardware import Machine, probe
from dreamer_exp.planning.resolve import resolve
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.status import refuse_running

KEY = "resume="
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResumeRequest:
    """A run to be resumed."""

    root: Path
    experiment: Experiment
    contract: ObservationContract
    machine: Machine
    changed: dict[str, tuple[object, object]]  # by key: its value before and after
    point: ResumePoint


def is_requested(words: list[str]) -> bool:
    """Return whether a command line resumes a run."""
    return any(word.startswith(KEY) and word != f"{KEY}null" for word in words)


def prepare_resume(words: list[str]) -> tuple[ResumeRequest, bool]:
    """Return the run that a command line resumes, and whether it is a dry run.

    Everything is checked that needs neither ray nor torch. The lock of the run's directory is taken before any of its
    files is read, except for a dry run.

    Raises:
        UserError: There is no run, it is running, it belongs to another user, or an override cannot be applied.
    """
    if {"-m", "--multirun"} & set(words):
        raise UserError("resume: takes one run, without -m; sweep.resume=<sweep's directory> resumes a sweep.")
    root = path_value([word for word in words if word.startswith(KEY)][-1]).resolve()
    key, overrides = f"{KEY}{root}", [word for word in words if not word.startswith(KEY)]
    if not (root / "experiment.yaml").exists():
        raise UserError(f"{key}: no experiment.yaml there; name a run's directory, outputs/<run>.")
    lock.take(root, lock.TRAINS, key, dry_run=is_dry_run(words))
    saved_experiment.refuse_older_resume(root)
    config, composed = saved_experiment.recompose(root / "experiment.yaml", overrides)
    refuse_other_kinds(root)
    refuse_foreign(root, composed.trust, key)
    refuse_running(root, key)
    machine = probe()
    experiment, contract = resolve(load.load_experiment(config, machine), machine)
    if edited := saved_experiment.edits(root / "experiment.yaml"):
        log.warning("experiment.yaml was edited by hand: %s", printable(", ".join(edited)))
    changed = saved_experiment.changes(root / "experiment.yaml", experiment)
    saved_experiment.refuse_other_network(changed, experiment)
    refuse_other_weights(changed)
    refuse_other_encoders(changed)
    require(experiment.env)
    point = require_resume_point(
        CheckpointStore(RunDirectory(root).checkpoints, experiment.run.keep_checkpoints),
        contract.hash,
        experiment.run,
    )
    read_provenance(RunDirectory(root))
    return ResumeRequest(root, experiment, contract, machine, changed, point), bool(composed.dry_run)


def refuse_other_weights(changed: dict[str, tuple[object, object]]) -> None:
    """Refuse other first weights: a resumed run continues with those of its checkpoint.

    Raises:
        UserError: `run.init_from` or `run.init_scope` is another one.
    """
    for key in ("run.init_from", "run.init_scope"):
        before, now = changed.get(key, (None, None))
        if before != now and not (key == "run.init_scope" and before is None):  # a run before the key was there
            raise UserError(f"{key}={now}: a resumed run keeps the weights of its checkpoint; start a new run.")


def refuse_other_encoders(changed: dict[str, tuple[object, object]]) -> None:
    """Refuse another encoder of an observation entry: weights and replay of the checkpoint are of the first one.

    Raises:
        UserError: naming the entry.
    """
    for key, kinds in changed.items():
        before, now = (VECTOR if kind is None else kind for kind in kinds)
        if key.startswith("obs_contract.encoders.") and before != now:
            raise UserError(f"{key}={now}: the run was trained with {before}, which a resume keeps; start a new run.")


def refuse_other_kinds(root: Path) -> None:
    """Refuse a run in which a pipe, a device or a folder is in the place of a file, or a file in that of a folder.

    Raises:
        UserError: naming the first.
    """
    directory = RunDirectory(root)
    for path in filter(os.path.lexists, directory.paths()):
        is_folder = path in (directory.checkpoints, directory.report)
        if not (path.is_dir() if is_folder else path.is_file()):
            raise UserError(f"resume={root}: {path} is not a {'folder' if is_folder else 'file'}; move it away.")


def refuse_foreign(root: Path, trust: bool, key: str) -> None:
    """Refuse files of another user: a checkpoint contains pickles, which can run any code.

    Args:
        root: a run's directory, or one whose files become a command line.
        trust: whether the user trusts them.
        key: how the user named the directory; the message begins with it.

    Raises:
        UserError: The directory, or a file in its checkpoints, belongs to another user.
    """
    if trust or not hasattr(os, "getuid"):
        return
    directory = RunDirectory(root)
    for path in (root, *filter(os.path.lexists, directory.paths()), *directory.checkpoints.rglob("*")):
        if path.is_symlink():
            raise UserError(f"{key}: {path} is a symbolic link, which is not followed; put a copy there.")
        if path.lstat().st_uid != os.getuid():
            raise UserError(
                f"{key}: {path} belongs to another user, and the pickles of a checkpoint can run any "
                "code; trust=true resumes it anyway."
            )
