"""The checkpoint from which a run resumes: choosing it, restoring it, and recording the resume."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamer_exp.checkpoints.manifest import MANIFEST, BrokenCheckpoint, is_count, read_json, read_manifest, verify
from dreamer_exp.checkpoints.store import PROGRESS, CheckpointStore
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import RunConfig
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.formatting import now_utc
from dreamer_exp.planning.ends import end_reason
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.formats import current_format
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import is_trained
from dreamer_exp.rundir.reader import RunReader, read_evaluations, read_rows
from dreamer_exp.rundir.row_filter import RemovedLines, filter_rows
from dreamer_exp.rundir.status import read_status

if TYPE_CHECKING:
    from dreamer_exp.algorithms.protocol import Algorithm

COUNTERS = ("iteration", "env_steps", "updates", "episodes", "episodes_cut", "faults")
AMOUNTS = ("seconds", "updates_owed")


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint and the run's counters at it."""

    checkpoint: Path
    progress: dict[str, Any]

    @property
    def env_steps(self) -> int:
        """Env steps at the checkpoint."""
        return int(self.progress["env_steps"])


def find_resume_point(store: CheckpointStore) -> ResumePoint | None:
    """Return the newest checkpoint that agrees with its manifest and has counters, or None."""

    def check(checkpoint: Path) -> None:
        verify(checkpoint)
        read_progress(checkpoint)

    checkpoint = store.newest_valid(check)
    return None if checkpoint is None else ResumePoint(checkpoint, read_progress(checkpoint))


def read_progress(checkpoint: Path) -> dict[str, Any]:
    """Return the counters of a checkpoint.

    Raises:
        BrokenCheckpoint: The file is missing, or not one of counters.
    """
    path = checkpoint / PROGRESS
    tree = read_json(path)
    try:
        is_valid = all(is_count(tree[name]) for name in COUNTERS) and all(tree[name] >= 0 for name in AMOUNTS)
        episodes = [EpisodeResult.from_dict(episode) for episode in tree["window"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BrokenCheckpoint(f"{path}: not the counters of a run") from error
    if not is_valid or len(episodes) > tree["episodes"]:
        raise BrokenCheckpoint(f"{path}: not the counters of a run")
    return dict(tree)


def require_resume_point(store: CheckpointStore, contract_hash: str, run: RunConfig) -> ResumePoint:
    """Return the newest valid checkpoint of a run to be resumed.

    Args:
        store: The run's checkpoints.
        contract_hash: Of the environment's observations and actions now.
        run: The limits of the run, which include what is already done.

    Raises:
        UserError: There is no checkpoint, it is of another release or another contract, or the run has ended by
            one of its limits.
    """
    point = find_resume_point(store)
    if point is None:
        raise UserError(f"resume: {store.root} holds no valid checkpoint; start a new run.")
    manifest = read_manifest(point.checkpoint)
    if manifest["format"] != current_format(MANIFEST):
        raise UserError(
            f"resume: {point.checkpoint} has format {manifest['format']}, and its training state can only be loaded by "
            "the release that wrote it; evaluate and compare read it."
        )
    if manifest["contract_hash"] != contract_hash:
        raise UserError(
            f"resume: the environment now has contract {contract_hash}, but the policy was trained on "
            f"{manifest['contract_hash']}: keep env and obs_contract unchanged."
        )
    done, iterations = point.progress["iteration"], run.train_iterations
    is_finished = read_status(store.root.parent).get("state") == "finished"
    if done > iterations or (done == iterations and is_finished):  # else its last evaluation is missing
        raise UserError(
            f"resume: the run has done {done:,} of run.train_iterations={iterations:,}; increase it to continue."
        )
    rows = [row for row in evaluations(RunDirectory(store.root.parent), point) if is_trained(row)]
    if is_finished and (reason := end_reason(run, point.progress, rows)):
        raise UserError(f"resume: the run has ended by {reason}; a larger value, or null, lets it continue.")
    return point


def read_provenance(directory: RunDirectory) -> dict[str, Any]:
    """Return the tree of provenance.json, to which a resume adds an entry.

    Raises:
        UserError: The file is missing, broken or of an unknown format; resuming would lose its content.
    """
    reader = RunReader()
    tree = reader.tree(directory.provenance)
    if reader.faults:
        raise UserError(f"resume: {directory.root}/{reader.faults[0]}: restore the file, or start a new run.")
    return tree


def drop_later_rows(directory: RunDirectory, point: ResumePoint) -> RemovedLines:
    """Remove the rows after the checkpoint, whose steps will be repeated, and damaged lines; return their numbers."""
    iteration = point.progress["iteration"]
    return filter_rows(directory.result, lambda row: row["iteration"] <= iteration) + filter_rows(
        directory.evaluation, lambda row: row["env_steps"] <= point.env_steps and isinstance(row["policy"], str)
    )


def missing_rows(directory: RunDirectory, point: ResumePoint) -> int:
    """Return how many of the iterations before the checkpoint have no row in result.jsonl."""
    done = int(point.progress["iteration"])
    return max(0, done - len({row.get("iteration") for row in read_rows(directory.result)}))


def restore(algorithm: "Algorithm", point: ResumePoint) -> None:
    """Load the checkpoint into an algorithm that was just built; its environments start new episodes."""
    from dreamer_exp.checkpoints.state import load_state  # imports torch, which a dry run does not need

    algorithm.reset_episodes(point.env_steps)
    load_state(algorithm, point.checkpoint)
    algorithm.updates_owed = point.progress["updates_owed"]


def evaluations(directory: RunDirectory, point: ResumePoint) -> list[dict[str, Any]]:
    """Return the rows of the evaluations up to the checkpoint."""
    return [row for row in read_evaluations(directory.evaluation) if row["env_steps"] <= point.env_steps]


def record_resume(
    directory: RunDirectory, point: ResumePoint, dropped: RemovedLines, changed: dict[str, Any], now: dict[str, Any]
) -> dict[str, Any]:
    """Add an entry to `resumes` in provenance.json; return the new tree.

    Args:
        directory: The run's directory.
        point: The checkpoint it resumes from.
        dropped: Lines that were removed.
        changed: By key, its value before and after.
        now: The tree of `provenance.collect` for this process.

    Raises:
        UserError: As `read_provenance`.
    """
    tree = read_provenance(directory)
    entry = {
        "resumed_utc": now_utc(),
        "command_line": sys.argv,
        "checkpoint": point.checkpoint.name,
        "rows_dropped": dropped.unwanted,
        "lines_damaged": dropped.damaged,
        "changed": {key: {"before": before, "after": after} for key, (before, after) in changed.items()},
        **{key: now[key] for key in ("git", "python", "packages", "machine", "gpu_names")},
    }
    tree["resumes"] = [*tree.get("resumes", []), entry]
    tree["experiment"] = now["experiment"]
    write_json(directory.provenance, tree)
    return tree
