"""Searches with hydra/sweeper=optuna for the settings with the best `run.objective`."""

import logging
from enum import Enum
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import Multirun
from dreamer_exp.rundir.reader import read_tree

# prefixes of metrics that are better when higher, and when lower
MAXIMIZE = ("success_rate", "return_mean", "episode_return", "rate/")
MINIMIZE = ("loss/", "collision_rate", "timeout_rate", "time/", "memory/", "env_faults")
# the sweep's table and summary show what these loggers report: a new study, a failed trial
for name, level in (("optuna.storages", logging.WARNING), ("hydra_plugins.hydra_optuna_sweeper", logging.ERROR)):
    logging.getLogger(name).setLevel(level)

RESULTS = "optimization_results.yaml"  # written by Hydra's sweeper at the end


def trials_at_once(request: Multirun) -> int:
    """Return how many trials are chosen at a time, before their results are known."""
    return int(request.hydra.sweeper.get("n_jobs", 1))


def aim(request: Multirun) -> str:
    """Return the description of a sweep whose sweeper chooses the jobs."""
    if request.sweeper != "optuna":
        return f"jobs chosen by hydra/sweeper={request.sweeper}"
    trials = int(request.hydra.sweeper.n_trials)
    return f"{trials} trials, chosen by Optuna to {direction(request)} {request.common.run.objective}"


def search_words(request: Multirun) -> list[str]:
    """Return overrides for Optuna in addition to the user's: direction, tolerance of failed trials, and seed.

    Raises:
        UserError: the direction of the objective is unknown.
    """
    if request.sweeper != "optuna":
        return []
    sweeper = request.hydra.sweeper
    words = [f"hydra.sweeper.direction={direction(request)}"]
    if not request.sets("hydra.sweeper.max_failure_rate") and sweeper.max_failure_rate == 0:
        words.append("hydra.sweeper.max_failure_rate=1.0")
    # a stored study would repeat its first trials
    if sweeper.storage is None and sweeper.sampler.get("seed", 0) is None:
        words.append(f"hydra.sweeper.sampler.seed={request.common.run.seed}")
    return words


def direction(request: Multirun) -> str:
    """Return `maximize` or `minimize`: the user's choice, else the usual one for the objective.

    Raises:
        UserError: the user chose several directions, or the objective has no usual one.
    """
    given, objective = request.hydra.sweeper.direction, str(request.common.run.objective)
    if not isinstance(given, Enum):  # an Enum is the sweeper's default, not the user's choice
        if given not in ("maximize", "minimize"):
            raise UserError(f"hydra.sweeper.direction={given}: a run has one objective; maximize or minimize.")
        return str(given)
    if objective.startswith(MAXIMIZE):
        return "maximize"
    if objective.startswith(MINIMIZE):
        return "minimize"
    raise UserError(
        f"run.objective={objective}: is more of it better? Set hydra.sweeper.direction=maximize or minimize."
    )


def best_trial(sweep: Path) -> str | None:
    """Return the line about the best trial of a search; None without a search or a finished trial."""
    try:
        found = read_tree(sweep / RESULTS)
        settings = " ".join(f"{key}={value}" for key, value in found["best_params"].items())
        return f"Best trial: {found['best_value']:.4g} with {settings}"
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
