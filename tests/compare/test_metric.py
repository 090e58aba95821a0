"""A metric's name: which is meant, its unit, and which way is better."""

from dataclasses import replace

import pytest

from dreamer_exp.compare.metric import is_share, lower_is_better, resolve, with_unit
from dreamer_exp.compare.model import Run
from dreamer_exp.config.errors import UserError
from tests.compare.folders import evaluation, made_run

ROWS = ("env_steps", "episode_return_window", "loss/world_model")


def run_with(*evaluations: dict[str, object]) -> Run:
    return replace(made_run(), columns=ROWS, evaluations=tuple(evaluations))


def test_success_of_the_policys_evaluations_is_the_usual_metric() -> None:
    assert resolve(None, [run_with(), run_with(evaluation(100, 3))]) == "evaluation/success_rate"


def test_a_task_without_successes_has_its_evaluations_return() -> None:
    assert resolve(None, [run_with({**evaluation(100, 3), "success_rate": None})]) == "evaluation/return_mean"


def test_without_the_policys_evaluations_it_is_the_windows_return() -> None:
    assert resolve(None, [run_with(), run_with(evaluation(100, 3, policy="random"))]) == "episode_return_window"


def test_while_only_the_evaluation_before_training_is_done_it_is_the_windows_return() -> None:
    assert resolve(None, [run_with(evaluation(0, 3))]) == "episode_return_window"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("loss/world_model", "loss/world_model"),
        ("return_mean", "evaluation/return_mean"),
        ("evaluation/return_mean", "evaluation/return_mean"),
        ("env_steps", "env_steps"),
        ("evaluation/env_steps", "evaluation/env_steps"),
    ],
)
def test_a_column_of_the_rows_or_of_the_evaluations_can_be_asked_for(asked: str, meant: str) -> None:
    assert resolve(asked, [run_with(evaluation(0, 3))]) == meant


@pytest.mark.parametrize(("asked", "hint"), [("loss/wrold_model", "loss/world_model"), ("sucess_rate", "success_rate")])
def test_a_misspelt_metric_is_refused_with_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(UserError, match=rf"--metric {asked} is no figure of these runs\. Did you mean '{hint}'\?"):
        resolve(asked, [run_with(evaluation(0, 3))])


@pytest.mark.parametrize("asked", ["outcomes", "policy", "success_interval_95"])
def test_what_is_no_number_is_no_metric(asked: str) -> None:
    with pytest.raises(UserError, match="is no figure"):
        resolve(asked, [run_with(evaluation(0, 3))])


def test_runs_without_rows_have_no_metric() -> None:
    with pytest.raises(UserError, match="have no rows yet"):
        resolve("loss/actor", [replace(made_run(), columns=())])


LOWER = (
    "loss/world_model", "loss/critic", "grad_norm/actor", "time/update_s", "time/total_s", "memory/rss_bytes",
    "collision_rate_window", "timeout_rate_window", "env_faults", "evaluation/collision_rate",
    "evaluation/wall_collision_rate", "evaluation/timeout_rate", "evaluation/time_to_goal_s_mean", "evaluation/faults",
)  # fmt: skip
HIGHER = (
    "evaluation/success_rate", "evaluation/return_mean", "evaluation/spl", "evaluation/min_clearance_m_mean",
    "episode_return_window", "success_rate_window", "rate/env_steps_per_s", "rate/updates_per_s", "episodes_total",
)  # fmt: skip


@pytest.mark.parametrize("metric", LOWER)
def test_of_losses_times_memory_and_collisions_less_is_better(metric: str) -> None:
    assert lower_is_better(metric)


@pytest.mark.parametrize("metric", HIGHER)
def test_of_returns_successes_and_rates_more_is_better(metric: str) -> None:
    assert not lower_is_better(metric)


@pytest.mark.parametrize(
    ("metric", "heading"),
    [
        ("time/update_s", "time/update_s [s]"),
        ("memory/rss_bytes", "memory/rss_bytes [bytes]"),
        ("replay/bytes", "replay/bytes [bytes]"),
        ("rate/env_steps_per_s", "rate/env_steps_per_s [env steps/s]"),
        ("rate/updates_per_s", "rate/updates_per_s [1/s]"),
        ("evaluation/time_to_goal_s_mean", "evaluation/time_to_goal_s_mean [s]"),
        ("evaluation/min_clearance_m_min", "evaluation/min_clearance_m_min [m]"),
        ("loss/actor", "loss/actor"),
        ("evaluation/success_rate", "evaluation/success_rate"),
    ],
)
def test_a_heading_has_the_unit(metric: str, heading: str) -> None:
    assert with_unit(metric) == heading


def test_success_and_spl_lie_between_0_and_1_and_rates_per_second_do_not() -> None:
    shares = ("evaluation/success_rate", "collision_rate_window", "evaluation/spl")
    assert all(map(is_share, shares))
    assert not any(map(is_share, ("rate/env_steps_per_s", "episode_return_window", "loss/actor")))
