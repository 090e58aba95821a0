"""The names of figures."""

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.runs.names import check_objective


@pytest.mark.parametrize("name", ["success_rate", "return_mean", "loss/world_model", "episode_return_window"])
def test_any_figure_of_a_run_can_be_its_objective(name: str) -> None:
    check_objective(name)


def test_an_objective_that_no_run_has_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match=r"run\.objective='sucess_rate' .*Did you mean 'success_rate'"):
        check_objective("sucess_rate")
