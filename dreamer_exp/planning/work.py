"""The work of a run that is still to come: env steps, updates, and the time for them at the pace of an earlier run."""

import math
import socket
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.formatting import duration
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.parse import parse_row
from dreamer_exp.rundir.reader import RunReader, lines_from_end

RUNS = ("outputs/*/status.json", "multirun/*/*/status.json")  # below the working directory
MAX_RUNS = 50  # newest ones that are compared with the experiment
MAX_ROWS = 100  # last ones of a run, from which its pace is taken
NO_COST = ("name", "replay_capacity")  # keys that change no update's duration, besides all that are fractions


class Work(NamedTuple):
    """Work of a run, or what is left of it."""

    iterations: int
    env_steps: int
    prefill_env_steps: int  # of these, sampled before the first update; they owe none
    updates: int


class Pace(NamedTuple):
    """Pace of an earlier run on this machine."""

    run: Path
    env_step_s: float
    update_s: float

    def seconds(self, work: Work) -> float:
        """Return the duration of this work, without start-up, evaluations and checkpoints."""
        return work.env_steps * self.env_step_s + work.updates * self.update_s


def work_to_come(experiment: Experiment, progress: Mapping[str, Any] | None = None) -> Work:
    """Return the work of a run, or of its rest.

    Args:
        experiment: the resolved experiment.
        progress: `iteration`, `updates` and `updates_owed` of the checkpoint to resume from; None for a new run.
    """
    update, each = spec_of(experiment.algo).work(experiment.algo), experiment.hardware.env_steps_per_iteration
    iterations = max(0, planned_iterations(experiment) - (progress["iteration"] if progress else 0))
    prefill = 0 if progress else _prefill_env_steps(experiment)
    owed = progress["updates_owed"] if progress else 0.0
    updates = owed + iterations * each * update.training_ratio / update.steps
    return Work(iterations, iterations * each + prefill, prefill, int(updates))


def planned_iterations(experiment: Experiment) -> int:
    """Return the iterations of a run: `run.train_iterations`, or what `run.max_env_steps` allows."""
    most, each = experiment.run.train_iterations, experiment.hardware.env_steps_per_iteration
    if experiment.run.max_env_steps is None:
        return most
    return min(most, max(1, math.ceil((experiment.run.max_env_steps - _prefill_env_steps(experiment)) / each)))


def _prefill_env_steps(experiment: Experiment) -> int:
    """Return the env steps of the first iteration's fragments but the last: together they hold the first batch."""
    update, hardware = spec_of(experiment.algo).work(experiment.algo), experiment.hardware
    if update.first_env_steps == 0:
        return 0
    first = update.steps if update.first_env_steps is None else update.first_env_steps
    fragments = math.ceil(first / hardware.env_steps_per_iteration)
    if update.windows:
        sequences, steps = update.batch
        fragments = max(
            fragments, math.ceil((steps + sequences / hardware.num_envs) / hardware.rollout_fragment_length)
        )
    return (fragments - 1) * hardware.env_steps_per_iteration


def describe_work(experiment: Experiment, work: Work) -> str:
    """Return the work as text."""
    batch, total = spec_of(experiment.algo).work(experiment.algo).batch, planned_iterations(experiment)
    iterations = f"{work.iterations:,} of {total:,}" if work.iterations < total else f"{total:,}"
    filling = f" ({work.prefill_env_steps:,} before the first update)" if work.prefill_env_steps else ""
    run = experiment.run
    earlier = [*(f"{name}={value:g}" for name, value in [("run.max_minutes", run.max_minutes)] if value is not None),
               *(["run.stop_when"] if run.stop_when else [])]  # fmt: skip
    ends = f"; it ends earlier by {' or '.join(earlier)}" if earlier else ""
    return (
        f"{iterations} iterations, {work.env_steps:,} env steps{filling}, about {work.updates:,} updates of "
        f"{' x '.join(map(str, batch))} steps{ends}"
    )


def describe_time(work: Work, pace: Pace | None) -> str:
    """Return the expected time as text."""
    if pace is None:
        return "unknown: no run below outputs/ or multirun/ had these sizes on this machine"
    return f"about {duration(pace.seconds(work))} without evaluations, at the pace of {pace.run}"


def last_pace(experiment: Experiment, folder: Path) -> Pace | None:
    """Return the pace of the newest run of this host whose sizes are those of an experiment; None without one.

    Args:
        experiment: the resolved experiment.
        folder: where outputs/ and multirun/ are.
    """
    files = [file for pattern in RUNS for file in folder.glob(pattern) if file.is_file()]
    for file in islice(sorted(files, key=lambda file: file.stat().st_mtime, reverse=True), MAX_RUNS):
        root, reader = RunDirectory(file.parent), RunReader()
        tree = reader.tree(root.experiment)
        is_alike = tree and sizes(tree) == sizes(experiment.to_dict())
        if is_alike and reader.tree(file).get("host") == socket.gethostname() and (pace := _pace(root)):
            return pace._replace(run=pace.run.relative_to(folder))
    return None


def sizes(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an experiment that decide how long a step or an update takes, by dotted key.

    Fractions (rates, weights, ratios) and names don't.
    """
    return dict(_sizes({group: tree.get(group) for group in ("env", "obs_contract", "algo", "hardware")}, ""))


def _sizes(node: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in node.items():
        if isinstance(value, Mapping):
            found += _sizes(value, f"{prefix}{name}.")
        elif not isinstance(value, float) and (name not in NO_COST or f"{prefix}{name}" in ("env.name", "algo.name")):
            found.append((f"{prefix}{name}", value))
    return found


def _pace(root: RunDirectory) -> Pace | None:
    """Return the pace of a run's last rows; None if they hold no update."""
    try:
        found = [parse_row(line) for line in islice(filter(None, lines_from_end(root.result)), MAX_ROWS)]
    except OSError:
        return None
    rows = [row for row in reversed(found) if row is not None]
    if len(rows) < 2:  # the first row contains the prefill
        return None
    try:
        steps, updates = (rows[-1][name] - rows[0][name] for name in ("env_steps", "updates"))
        sampling, updating = (sum(row[f"time/{name}_s"] for row in rows[1:]) for name in ("sample", "update"))
        return Pace(root.root, sampling / steps, updating / updates)
    except (KeyError, TypeError, ZeroDivisionError):
        return None
