"""SPL of finished episodes."""

from dataclasses import asdict
from typing import Any

import pytest

from dreamer_exp.envs.episode import EpisodeInfo, EpisodeResult, result_of
from tests.paths import CHECKOUT


def driven(path: float | None, shortest: float | None, outcome: str | None = "success") -> EpisodeResult:
    return EpisodeResult(0.0, 1, outcome=outcome, path_length=path, shortest_path_length=shortest)


@pytest.mark.parametrize(("path", "shortest", "spl"), [(20.0, 10.0, 0.5), (10.0, 10.0, 1.0), (40.0, 10.0, 0.25)])
def test_spl_of_a_success_falls_with_the_length_of_its_path(path: float, shortest: float, spl: float) -> None:
    assert driven(path, shortest).spl == spl


def test_spl_is_at_most_one() -> None:
    assert driven(8.0, 10.0).spl == 1.0


def test_spl_is_relative_to_the_shortest_path_rather_than_to_the_route() -> None:
    assert EpisodeResult(0.0, 1, "success", path_length=10.0, route_length=10.0, shortest_path_length=8.0).spl == 0.8


def test_spl_is_relative_to_the_route_where_the_shortest_path_is_unknown() -> None:
    assert EpisodeResult(0.0, 1, "success", path_length=20.0, route_length=10.0).spl == 0.5


def test_spl_is_one_when_the_robot_starts_at_its_goal() -> None:
    assert driven(0.0, 0.0).spl == 1.0


@pytest.mark.parametrize("outcome", ["timeout", "wall_collision"])
def test_spl_of_a_failure_is_zero(outcome: str) -> None:
    assert driven(10.0, 10.0, outcome).spl == 0.0


@pytest.mark.parametrize("missing", [{"path": None}, {"shortest": None}, {"outcome": None}])
def test_spl_is_missing_without_lengths_or_outcome(missing: dict[str, Any]) -> None:
    assert driven(**{"path": 10.0, "shortest": 10.0, **missing}).spl is None


def test_every_key_of_the_final_info_is_documented() -> None:
    page = (CHECKOUT / "docs" / "environments.md").read_text(encoding="utf-8")
    written_by_environments = set(EpisodeInfo.__annotations__) - {"faults", "fault"}
    assert {name for name in written_by_environments if f"`{name}`" not in page} == set()


def test_results_have_the_keys_of_the_final_info() -> None:
    info = dict.fromkeys(EpisodeInfo.__annotations__, 1)
    result = asdict(result_of(info, 2.0, 3))
    measured = {"impossible": False, "social": None}  # by an evaluation
    reported = {name: 1 for name in info if name != "reward_terms"}
    assert result == {"episode_return": 2.0, "length": 3, **reported, **measured}
