"""A metric's name: which one is meant, whose figure it is, its unit, and which way is better.

A column of result.jsonl goes by its own name, a figure of evaluation.jsonl by `evaluation/` and its name there.
"""

from collections.abc import Iterator, Sequence

from dreamer_exp.compare.files import STEPS
from dreamer_exp.compare.model import Run
from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.metric_names import LEARNER

EVALUATION = "evaluation/"
DEFAULTS = ("evaluation/success_rate", "evaluation/return_mean", "episode_return_window")  # the first that has a value
LOWER_IS_BETTER = (
    "loss/", "grad_norm/", "grad_max/", "time/", "time_", "memory/", "replay/bytes", "collision_rate", "timeout_rate",
    "pedestrian_collision_rate", "wall_collision_rate", "robot_collision_rate", "faults", "env_faults",
)  # fmt: skip  # how names of such metrics begin
SHARES = ("_rate", "_rate_window", "spl")  # how names end of what lies between 0 and 1
UNITS = (
    ("bytes", "bytes"), ("env_steps_per_s", "env steps/s"), ("_per_s", "1/s"), ("_s", "s"), ("_s_mean", "s"),
    ("_m_mean", "m"), ("_m_min", "m"), ("length_mean", "env steps"), ("entropy", "nats"),
)  # fmt: skip  # by how a name ends, the first that fits


def resolve(asked: str | None, runs: Sequence[Run]) -> str:
    """The whole name of the metric that is asked for, or of the usual one: `success_rate` is evaluation/success_rate.

    Raises:
        UserError: none of these runs has it.
    """
    if asked is None:
        return next((name for name in DEFAULTS if any(_has(run, name) for run in runs)), DEFAULTS[0])
    known = list(dict.fromkeys(name for run in runs for name in (*run.columns, *_evaluated(run))))
    for name in (asked, f"{EVALUATION}{asked}"):
        if name in known:
            return name
    short = [name.removeprefix(EVALUATION) for name in known]
    told = nearest(asked, [*known, *short]) if known else " They have no rows yet."
    raise UserError(f"--metric {asked} is no figure of these runs.{told}")


def lower_is_better(metric: str) -> bool:
    """Whether of two values the smaller is the better one: losses, times, memory, collisions."""
    return metric.removeprefix(EVALUATION).startswith(LOWER_IS_BETTER)


def is_share(metric: str) -> bool:
    """Whether it lies between 0 and 1."""
    return metric.endswith(SHARES)


def with_unit(metric: str) -> str:
    """The name for an axis or a heading: `time/update_s [s]`."""
    unit = next((unit for end, unit in UNITS if metric.endswith(end)), None)
    return f"{metric} [{unit}]" if unit else metric


def _has(run: Run, metric: str) -> bool:
    """Whether a default metric has a value in the run, after its training began: what is before it is no result."""
    if not metric.startswith(EVALUATION):
        return metric in run.columns
    name = metric.removeprefix(EVALUATION)
    return any(row["policy"] == LEARNER and row[STEPS] > 0 and row.get(name) is not None for row in run.evaluations)


def _evaluated(run: Run) -> Iterator[str]:
    """Names of the figures that the policy's evaluations have: numbers, or null for want of one."""
    for row in run.evaluations[-1:]:
        yield from (f"{EVALUATION}{name}" for name, value in row.items() if isinstance(value, (int, float, type(None))))
