"""What ends a run: its number of iterations, its limits, and a goal or a plateau in its evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import RunConfig
from dreamer_exp.rundir.metric_names import EVALUATION_HIGHER, EVALUATION_LOWER, score

KEY = "run.stop_when"
FOR, PLATEAU = "for", "plateau"
METRICS = (*EVALUATION_HIGHER, *EVALUATION_LOWER)


@dataclass(frozen=True)
class StopWhen:
    """`run.stop_when`, parsed.

    Attributes:
        goals: by metric of an evaluation, the value that it has to reach; several have to hold together.
        evaluations: in how many evaluations in a row.
        plateau: evaluations in a row without a better score than before; None: no such rule.
    """

    goals: Mapping[str, float]
    evaluations: int
    plateau: int | None

    @classmethod
    def parse(cls, words: Mapping[str, float | None]) -> "StopWhen":
        """Return the rule of `run.stop_when`; a metric whose value is null is left out.

        Raises:
            UserError: a name is no metric, or a number of evaluations is not a whole number of at least 1.
        """
        names = [name for name in words if name not in (FOR, PLATEAU)]
        for name in names:
            if name not in METRICS:
                hint = nearest(name, (FOR, PLATEAU, *METRICS))
                raise UserError(
                    f"{KEY}: {name!r} is not a metric of an evaluation.{hint} It takes {FOR}, {PLATEAU}, and: "
                    f"{', '.join(METRICS)}."
                )
        if FOR in words and not names:
            raise UserError(f"{KEY}: {FOR} needs a metric and its value, as {{success_rate: 0.95, for: 3}}.")
        goals = {name: value for name in names if (value := words[name]) is not None}
        return cls(goals, _count(FOR, words.get(FOR)) or 1, _count(PLATEAU, words.get(PLATEAU)))

    def reason(self, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Return the part of `run.stop_when` that ends a run, None if none does.

        Args:
            rows: the evaluations of the trained policy so far, in their order.
        """
        last = rows[-self.evaluations :]
        if self.goals and len(last) == self.evaluations and all(map(self._holds, last)):
            parts = dict(self.goals) | ({FOR: self.evaluations} if self.evaluations > 1 else {})
            return f"{KEY}={{{', '.join(f'{name}: {value:g}' for name, value in parts.items())}}}"
        if self.plateau is not None and len(rows) > self.plateau:
            before, since = rows[: -self.plateau], rows[-self.plateau :]
            if max(map(score, since)) <= max(map(score, before)):
                return f"{KEY}={{{PLATEAU}: {self.plateau}}}"
        return None

    def _holds(self, row: Mapping[str, Any]) -> bool:
        return all(_reaches(name, row.get(name), goal) for name, goal in self.goals.items())


def _reaches(name: str, value: float | None, goal: float) -> bool:
    return value is not None and (value <= goal if name in EVALUATION_LOWER else value >= goal)


def _count(name: str, value: float | None) -> int | None:
    if value is None:
        return None
    if value < 1 or value != int(value):
        raise UserError(f"{KEY}: {name}={value:g} has to be a whole number of evaluations, at least 1.")
    return int(value)


def check_ends(experiment: Experiment) -> None:
    """Check `run.stop_when`.

    Raises:
        UserError: it is wrong, or the run has no evaluations during training.
    """
    rule = StopWhen.parse(experiment.run.stop_when)
    if not rule.goals and rule.plateau is None:
        return
    if not experiment.evaluation.episodes or not experiment.evaluation.every_env_steps:
        raise UserError(
            f"{KEY} needs evaluations during training: set evaluation.every_env_steps, and evaluation.episodes above 0."
        )


def end_reason(run: RunConfig, progress: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the key that ends a run and its value, as `run.max_minutes=30`; None while it goes on.

    Args:
        run: its limits.
        progress: `iteration`, `env_steps` and `seconds` so far, as a checkpoint has them: over all resumes.
        evaluations: rows of the trained policy's evaluations so far, in their order.
    """
    if progress["iteration"] >= run.train_iterations:
        return f"run.train_iterations={run.train_iterations}"
    if run.max_env_steps is not None and progress["env_steps"] >= run.max_env_steps:
        return f"run.max_env_steps={run.max_env_steps}"
    if run.max_minutes is not None and progress["seconds"] >= 60 * run.max_minutes:
        return f"run.max_minutes={run.max_minutes:g}"
    trained = [row for row in evaluations if row["env_steps"]]
    return StopWhen.parse(run.stop_when).reason(trained)
