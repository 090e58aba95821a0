"""A run's metric over env steps or over seconds."""

from dataclasses import replace

import numpy as np

from dreamer_exp.compare.series import series
from tests.compare.folders import evaluation, made_run


def test_a_column_over_env_steps_and_over_seconds_without_its_nulls() -> None:
    run = made_run(values=[1.0, np.nan, 3.0])
    steps, values = series(run, "figure", "env_steps")
    seconds, same = series(run, "figure", "wall")
    assert (list(steps), list(values)) == ([100.0, 300.0], [1.0, 3.0])
    assert (list(seconds), list(same)) == ([10.0, 30.0], [1.0, 3.0])


def test_a_column_that_the_run_lacks_is_empty() -> None:
    assert [len(part) for part in series(made_run(), "other", "env_steps")] == [0, 0]


def test_evaluations_are_the_policys_alone() -> None:
    run = replace(made_run(), evaluations=(evaluation(0, 9, policy="random"), evaluation(0, 1), evaluation(50, 2)))
    steps, values = series(run, "evaluation/success_rate", "env_steps")
    assert (list(steps), list(values)) == ([0.0, 50.0], [0.05, 0.1])


def test_evaluations_are_timed_by_the_rows_around_them() -> None:
    run = replace(made_run(values=[0.0, 0.0]), evaluations=(evaluation(0, 1), evaluation(150, 2), evaluation(200, 3)))
    assert list(series(run, "evaluation/success_rate", "wall")[0]) == [0.0, 15.0, 20.0]


def test_evaluations_without_rows_have_no_time() -> None:
    run = replace(made_run(values=[]), evaluations=(evaluation(0, 1),))
    assert len(series(run, "evaluation/success_rate", "wall")[0]) == 0
    assert len(series(run, "evaluation/success_rate", "env_steps")[0]) == 1


def test_steps_that_go_back_are_put_in_order() -> None:
    run = made_run(values=[1.0, 2.0])
    run.rows["env_steps"][:] = [200.0, 100.0]
    assert list(series(run, "figure", "env_steps")[1]) == [2.0, 1.0]
