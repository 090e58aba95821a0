"""What an episode came to."""

from typing import Any

import pytest

from dreamer_exp.envs.episode import EpisodeResult


def driven(path: float | None, route: float | None, outcome: str | None = "success") -> EpisodeResult:
    return EpisodeResult(0.0, 1, outcome=outcome, path_length=path, route_length=route)


@pytest.mark.parametrize(("path", "route", "spl"), [(20.0, 10.0, 0.5), (10.0, 10.0, 1.0), (40.0, 10.0, 0.25)])
def test_a_success_counts_the_less_the_longer_its_path_was(path: float, route: float, spl: float) -> None:
    assert driven(path, route).spl == spl


def test_a_path_that_ends_at_the_goals_rim_counts_no_more_than_the_route() -> None:
    assert driven(8.0, 10.0).spl == 1.0


def test_a_robot_that_starts_at_its_goal_succeeds_whole() -> None:
    assert driven(0.0, 0.0).spl == 1.0


@pytest.mark.parametrize("outcome", ["timeout", "wall_collision"])
def test_a_failure_counts_nothing(outcome: str) -> None:
    assert driven(10.0, 10.0, outcome).spl == 0.0


@pytest.mark.parametrize("lacking", [{"path": None}, {"route": None}, {"outcome": None}])
def test_an_environment_that_tells_no_lengths_or_outcomes_has_none(lacking: dict[str, Any]) -> None:
    assert driven(**{"path": 10.0, "route": 10.0, **lacking}).spl is None
