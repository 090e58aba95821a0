"""What ends a run: its limits, and `run.stop_when`."""

from dataclasses import replace
from typing import Any

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import fingerprint
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.social import NAMES
from dreamer_exp.planning.ends import METRICS, StopWhen, check_ends, end_reason
from tests.experiments import nano

COUNTS = {"format", "env_steps", "updates", "episodes", "impossible_episodes"}
NO_NUMBERS = {"policy", "kind", "episodes_chosen", "by_scenario", "outcomes"}


def rows(*success: float | None) -> list[dict[str, Any]]:
    return [{"env_steps": 100 * i, "success_rate": rate} for i, rate in enumerate(success)]


def progress(iteration: int = 1, env_steps: int = 16, seconds: float = 1.0) -> dict[str, Any]:
    return {"iteration": iteration, "env_steps": env_steps, "seconds": seconds}


def test_metrics_are_the_numbers_of_an_evaluation() -> None:
    row = evaluation_row("dreamerv3", "trained", 0, 0, [], replace(episode_list(nano()), episodes=[]))
    names = {name for name in row if not name.endswith("interval_95")} - COUNTS - NO_NUMBERS
    assert set(METRICS) == names | set(NAMES)


@pytest.mark.parametrize(
    ("success", "ends"),
    [((0, 0.9, 1, 0.95), False), ((0, 0.9, 0.95, 1, 0.95), True), ((0, 0.96, 0.96, None), False), ((1, 1, 1), False)],
)
def test_a_goal_holds_in_the_last_evaluations_after_training(success: tuple[float | None, ...], ends: bool) -> None:
    run = nano("run.stop_when={success_rate: 0.95, for: 3}").run
    found = end_reason(run, progress(), rows(*success))
    assert found == ("run.stop_when={success_rate: 0.95, for: 3}" if ends else None)


def test_a_metric_that_is_better_when_lower_has_to_fall_to_the_goal() -> None:
    rule = StopWhen.parse({"timeout_rate": 0.1})
    assert rule.reason([{"timeout_rate": 0.2}]) is None
    assert rule.reason([{"timeout_rate": 0.1}]) == "run.stop_when={timeout_rate: 0.1}"


def test_a_plateau_is_a_number_of_evaluations_without_a_better_one() -> None:
    rule = StopWhen.parse({"plateau": 2})
    assert rule.reason(rows(0.1, 0.3, 0.2)) is None
    assert rule.reason(rows(0.1, 0.3, 0.2, 0.4)) is None
    assert rule.reason(rows(0.1, 0.3, 0.2, 0.3)) == "run.stop_when={plateau: 2}"


@pytest.mark.parametrize(
    ("word", "at", "reason"),
    [
        ("run.train_iterations=7", progress(iteration=7), "run.train_iterations=7"),
        ("run.max_env_steps=500", progress(env_steps=512), "run.max_env_steps=500"),
        ("run.max_minutes=1.5", progress(seconds=90), "run.max_minutes=1.5"),
        ("run.max_minutes=1.5", progress(seconds=89), None),
    ],
)
def test_a_limit_ends_the_run_once_it_is_reached(word: str, at: dict[str, Any], reason: str | None) -> None:
    assert end_reason(nano(word).run, at, []) == reason


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"succes_rate": 0.9}, "Did you mean 'success_rate'"),
        ({"success_rate": 0.9, "for": 1.5}, "for=1.5 has to be a whole number"),
        ({"plateau": 0}, "plateau=0 has to be"),
        ({"for": 2}, "for needs a metric"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(words: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        StopWhen.parse(words)


def test_a_goal_needs_evaluations_during_training() -> None:
    with pytest.raises(UserError, match=r"evaluation\.every_env_steps"):
        check_ends(nano("run.stop_when.spl=0.5"))


def test_limits_without_a_value_leave_the_fingerprint_of_earlier_experiments() -> None:
    experiment = nano()
    earlier = experiment.to_dict()
    for name in ("max_minutes", "max_env_steps", "stop_when"):
        del earlier["run"][name]
    assert fingerprint(earlier) == experiment.fingerprint()
    assert nano("run.max_minutes=5").fingerprint() != experiment.fingerprint()
