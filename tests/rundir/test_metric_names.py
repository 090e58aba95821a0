"""The metric names."""

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import find_specs
from dreamer_exp.rundir.metric_names import LEARNER_METRICS, check_objective, is_trained

OWN = ("dreamerv3", "dreamerv3_rllib")
each_algorithm = pytest.mark.parametrize("algo", OWN)


def check(name: str, algo: str) -> None:
    check_objective(name, algo, find_specs("algorithms")[algo].metrics)


@each_algorithm
@pytest.mark.parametrize("name", ["success_rate", "return_mean", "loss/world_model", "episode_return_window"])
def test_any_metric_of_a_run_can_be_its_objective(name: str, algo: str) -> None:
    check(name, algo)


@pytest.mark.parametrize(
    ("name", "algo"), [("loss/prediction", "dreamerv3"), ("loss/critic_replay", "dreamerv3_rllib")]
)
def test_an_objective_that_the_algorithm_does_not_report_is_refused(name: str, algo: str) -> None:
    with pytest.raises(UserError, match=rf"^run\.objective='{name}' is not a metric of algo={algo}\. "):
        check(name, algo)


def test_a_metric_that_only_this_algorithm_has_can_be_its_objective() -> None:
    check_objective("loss/clip", "ppo", ("loss/clip",))
    with pytest.raises(UserError, match=r"^run\.objective='loss/clip' is not a metric of a run\."):
        check("loss/clip", "dreamerv3")


@each_algorithm
def test_the_learners_names_of_an_algorithm_are_unique(algo: str) -> None:
    names = list(find_specs("algorithms")[algo].metrics.values())

    assert len(set(names)) == len(names)


def test_every_name_belongs_to_an_algorithm() -> None:
    assert {name for algo in OWN for name in find_specs("algorithms")[algo].metrics} == set(LEARNER_METRICS)


def test_an_objective_that_no_run_has_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r"run\.objective='sucess_rate' .*Did you mean 'success_rate'"):
        check("sucess_rate", "dreamerv3_rllib")


def test_the_trained_policy_is_known_in_rows_of_every_format() -> None:
    assert is_trained({"policy": "dreamerv3"})
    assert is_trained({"policy": "ppo", "kind": "trained"})
    assert not is_trained({"policy": "orca"})
    assert not is_trained({"policy": "orca", "kind": "baseline"})
