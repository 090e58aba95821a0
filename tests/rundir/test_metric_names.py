"""The metric names."""

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.metric_names import LEARNER_METRICS, check_objective


@pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])
@pytest.mark.parametrize("name", ["success_rate", "return_mean", "loss/world_model", "episode_return_window"])
def test_any_metric_of_a_run_can_be_its_objective(name: str, algo: str) -> None:
    check_objective(name, algo)


@pytest.mark.parametrize(
    ("name", "algo"), [("loss/prediction", "dreamerv3"), ("loss/critic_replay", "dreamerv3_rllib")]
)
def test_an_objective_that_the_algorithm_does_not_report_is_refused(name: str, algo: str) -> None:
    with pytest.raises(UserError, match=rf"^run\.objective='{name}' is null in all rows of algo={algo}\. "):
        check_objective(name, algo)


@pytest.mark.parametrize("column", [0, 1], ids=["dreamerv3", "dreamerv3_rllib"])
def test_the_names_of_an_algorithm_are_unique(column: int) -> None:
    keys = [names[column] for names in LEARNER_METRICS.values() if names[column] is not None]

    assert len(set(keys)) == len(keys)


def test_every_name_belongs_to_an_algorithm() -> None:
    assert [name for name, keys in LEARNER_METRICS.items() if not any(keys)] == []


def test_an_objective_that_no_run_has_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r"run\.objective='sucess_rate' .*Did you mean 'success_rate'"):
        check_objective("sucess_rate", "dreamerv3_rllib")
