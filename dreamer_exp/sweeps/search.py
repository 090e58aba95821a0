"""hydra/sweeper=optuna: a search for the settings with the best `run.objective`."""

import logging
from enum import Enum
from pathlib import Path

import yaml

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import Multirun

# which figures are better the higher, and the lower, they are, by how their names begin
MAXIMIZE = ("success_rate", "return_mean", "episode_return", "rate/")
MINIMIZE = ("loss/", "collision_rate", "timeout_rate", "time/", "memory/", "env_faults")
# what they tell stands in the sweep's table and summary: a study begun, a trial failed
for name, level in (("optuna.storages", logging.WARNING), ("hydra_plugins.hydra_optuna_sweeper", logging.ERROR)):
    logging.getLogger(name).setLevel(level)

RESULTS = "optimization_results.yaml"  # what Hydra's sweeper writes at the end


def trials_at_once(asked: Multirun) -> int:
    """Trials that are chosen together, before the result of any of them is known."""
    return int(asked.hydra.sweeper.get("n_jobs", 1))


def aim(asked: Multirun) -> str:
    """What the headline says of a sweep whose jobs are chosen on the way."""
    if asked.sweeper != "optuna":
        return f"jobs as hydra/sweeper={asked.sweeper} chooses them"
    trials = int(asked.hydra.sweeper.n_trials)
    return f"{trials} trials, chosen by Optuna to {direction(asked)} {asked.common.run.objective}"


def search_words(asked: Multirun) -> list[str]:
    """What Optuna is told beyond what the user says: where to, not to give up for a failed trial, and a seed.

    Raises:
        UserError: it isn't clear whether more of the objective is better.
    """
    if asked.sweeper != "optuna":
        return []
    sweeper = asked.hydra.sweeper
    words = [f"hydra.sweeper.direction={direction(asked)}"]
    if not asked.says("hydra.sweeper.max_failure_rate") and sweeper.max_failure_rate == 0:
        words.append("hydra.sweeper.max_failure_rate=1.0")
    if sweeper.storage is None and sweeper.sampler.get("seed", 0) is None:  # a kept study would repeat its first trials
        words.append(f"hydra.sweeper.sampler.seed={asked.common.run.seed}")
    return words


def direction(asked: Multirun) -> str:
    """`maximize` or `minimize`: as the user says, else as the objective is meant.

    Raises:
        UserError: neither says it.
    """
    given, objective = asked.hydra.sweeper.direction, str(asked.common.run.objective)
    if not isinstance(given, Enum):  # which is Optuna's own default: minimize
        if given not in ("maximize", "minimize"):
            raise UserError(f"hydra.sweeper.direction={given}: a run has one objective; maximize or minimize.")
        return str(given)
    if objective.startswith(MAXIMIZE):
        return "maximize"
    if objective.startswith(MINIMIZE):
        return "minimize"
    raise UserError(
        f"run.objective={objective}: is more of it better? Say hydra.sweeper.direction=maximize or minimize."
    )


def best_trial(sweep: Path) -> str | None:
    """The line that ends a search; None where this sweep was none, or no trial finished."""
    try:
        found = yaml.safe_load((sweep / RESULTS).read_text(encoding="utf-8"))
        words = " ".join(f"{key}={value}" for key, value in found["best_params"].items())
        return f"Best trial: {found['best_value']:.4g} with {words}"
    except (OSError, KeyError, TypeError):
        return None
