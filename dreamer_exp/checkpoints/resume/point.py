"""Going on with a run: the newest whole checkpoint, the rows up to it, and the algorithm as it was."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.checkpoints.state import load_state
from dreamer_exp.checkpoints.store import PROGRESS, CheckpointStore, read_manifest
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import metric_names, provenance
from dreamer_exp.rundir.atomic import truncate_rows, write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows, read_tree
from dreamer_exp.rundir.status import read_status


@dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on from."""

    checkpoint: Path
    progress: dict[str, Any]  # counters at its step

    @property
    def env_steps(self) -> int:
        """At the checkpoint."""
        return int(self.progress["env_steps"])


def newest_or_none(store: CheckpointStore) -> ResumePoint | None:
    """The newest whole checkpoint."""
    found = store.newest_valid()
    return ResumePoint(found, json.loads((found / PROGRESS).read_text(encoding="utf-8"))) if found else None


def newest(store: CheckpointStore, contract_hash: str, iterations: int) -> ResumePoint:
    """The newest whole checkpoint.

    Raises:
        UserError: there is none, or it is of other observations or actions, or nothing is left to do.
    """
    kept = newest_or_none(store)
    if kept is None:
        raise UserError(f"resume: {store.root} holds no whole checkpoint to go on from; begin a new run.")
    trained = read_manifest(kept.checkpoint)["contract_hash"]
    if trained != contract_hash:
        raise UserError(
            f"resume: the environment now has contract {contract_hash}, and the policy was trained on {trained}: "
            "leave env and obs_contract as they were."
        )
    done = kept.progress["iteration"]
    ended = read_status(store.root.parent).get("state") == "finished"
    if done > iterations or (done == iterations and ended):  # else its last evaluation is still to do
        raise UserError(
            f"resume: the run has done {done:,} of run.train_iterations={iterations:,}; give it more of them to go on."
        )
    return kept


def beginning(directory: RunDirectory) -> dict[str, Any]:
    """What provenance.json tells of how the run began, and of each time it went on.

    Raises:
        UserError: it is missing or broken, and going on would lose what it told.
    """
    tree = read_tree(directory.provenance)
    if not tree:
        raise UserError(f"resume: {directory.provenance} is missing or broken: put it back, or begin a new run.")
    return tree


def cut_back(directory: RunDirectory, kept: ResumePoint) -> int:
    """Drops the rows of what was done after the checkpoint, which will be done again; how many."""
    return truncate_rows(directory.result, lambda row: row["iteration"] <= kept.progress["iteration"]) + truncate_rows(
        directory.evaluation, lambda row: row["env_steps"] <= kept.env_steps
    )


def take_up(algorithm: BaseDreamerV3, kept: ResumePoint) -> None:
    """Puts a freshly built algorithm into the checkpoint's state, its environments at the beginning of episodes."""
    algorithm.reset_episodes(kept.env_steps)
    load_state(algorithm, kept.checkpoint)
    algorithm.updates_owed = kept.progress["updates_owed"]


def evaluated(directory: RunDirectory, kept: ResumePoint) -> list[dict[str, Any]]:
    """The learner's evaluations up to the checkpoint."""
    rows = read_rows(directory.evaluation)
    return [row for row in rows if row["policy"] == metric_names.LEARNER and row["env_steps"] <= kept.env_steps]


def note(
    directory: RunDirectory, kept: ResumePoint, dropped: int, changed: dict[str, Any], now: dict[str, Any]
) -> dict[str, Any]:
    """provenance.json with one more entry under `resumes`; returns the tree written, raises as `beginning` does."""
    tree = beginning(directory)
    entry = {
        "resumed_utc": provenance.now_utc(),
        "command_line": sys.argv,
        "checkpoint": kept.checkpoint.name,
        "rows_dropped": dropped,
        "changed": {key: {"before": before, "after": after} for key, (before, after) in changed.items()},
        **{key: now[key] for key in ("git", "python", "packages", "machine", "gpu_names")},
    }
    tree["resumes"] = [*tree.get("resumes", []), entry]
    write_json(directory.provenance, tree)
    return tree
