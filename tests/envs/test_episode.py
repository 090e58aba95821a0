"""What is read from an environment's last info, and the SPL of finished episodes."""

import enum
import json
from typing import Any

import numpy as np
import pytest

from dreamer_exp.envs.episode import FORMS, OF_ENVIRONMENTS, EpisodeInfo, EpisodeResult, read_info, result_of
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


REPORTED = {
    "outcome": "wall_collision",
    "scenario": "doorway",
    "seed": 3,
    "path_length": 2.5,
    "route_length": 2,
    "shortest_path_length": 1.5,
    "time_s": 7.5,
    "min_clearance": -0.1,
    "near_misses": 4,
}


def taken(info: object) -> dict[str, Any]:
    """Return the values taken from an info."""
    return {name: value for name, value in read_info(info, truncated=False).items() if name != "notices"}


def ignored(info: object) -> list[str]:
    """Return the lines about what was not taken."""
    return [notice.line for notice in read_info(info, truncated=False).get("notices", ())]


def test_every_key_of_the_final_info_is_documented() -> None:
    page = (CHECKOUT / "docs" / "environments.md").read_text(encoding="utf-8")
    words = [*EpisodeInfo.__annotations__, *OF_ENVIRONMENTS, "success", "is_success"]
    assert [word for word in words if f"`{word}`" not in page] == []


def test_every_key_that_an_environment_may_write_has_a_form() -> None:
    assert set(FORMS) == set(REPORTED) == set(EpisodeInfo.__annotations__) - {
        "reward_terms", "faults", "fault", "notices",
    }  # fmt: skip


def test_values_in_the_documented_form_are_taken() -> None:
    assert taken({**REPORTED, "velocity": [1, 2]}) == REPORTED
    assert ignored({**REPORTED, "velocity": [1, 2]}) == []


def test_a_result_has_the_keys_of_the_final_info() -> None:
    written = {**REPORTED, "faults": 2, "fault": "reward is nan"}
    measured = {"impossible": False, "social": None}  # by an evaluation
    assert result_of(written, 2.0, 3).to_dict() == {"episode_return": 2.0, "length": 3, **written, **measured}


class Ended(enum.StrEnum):
    """Outcomes, as an environment may declare them."""

    SUCCESS = "success"


@pytest.mark.parametrize(
    ("info", "value"),
    [
        ({"time_s": np.float32(1.5)}, 1.5),
        ({"time_s": np.array(1.5)}, 1.5),
        ({"seed": np.int64(7)}, 7),
        ({"scenario": np.str_("corridor")}, "corridor"),
        ({"outcome": Ended.SUCCESS}, "success"),
    ],
)
def test_numbers_of_numpy_and_enumerations_are_taken_as_plain_values(info: dict[str, Any], value: object) -> None:
    (read,) = taken(info).values()
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "info",
    [
        {"outcome": 2},
        {"outcome": "won"},
        {"outcome": "fault"},  # a word of the fault guard
        {"outcome": {"winner": "red"}},
        {"outcome": np.array(["success", "timeout"])},
        {"scenario": 5},
        {"scenario": "two\nlines"},
        {"scenario": "x" * 101},
        {"seed": np.arange(2)},
        {"seed": True},
        {"seed": 10**5000},
        {"path_length": -1.0},
        {"route_length": float("nan")},
        {"time_s": "12 s"},
        {"time_s": 10**400},
        {"min_clearance": float("inf")},
        {"near_misses": [1]},
        {"near_misses": -1},
    ],
)
def test_a_value_in_another_form_is_ignored_with_a_line_that_names_its_key(info: dict[str, Any]) -> None:
    ((name, _),) = info.items()
    assert taken(info) == {}
    (line,) = ignored(info)
    assert line.startswith(f'info["{name}"] is ignored: it is ')
    assert len(line) < 300


@pytest.mark.parametrize("name", ["faults", "fault", "notices"])
def test_keys_that_only_this_package_writes_are_not_taken(name: str) -> None:
    assert taken({name: 3}) == {}


@pytest.mark.parametrize("info", [None, [], "success", 3])
def test_an_info_that_is_no_dict_is_ignored(info: object) -> None:
    (line,) = ignored(info)
    assert line.endswith("not a dict")


@pytest.mark.parametrize("name", ["success", "is_success"])
@pytest.mark.parametrize("value", [True, 1, 1.0, np.float32(1), np.bool_(True), np.array(1.0)])
def test_success_as_other_libraries_write_it_is_a_success(name: str, value: object) -> None:
    assert taken({name: value}) == {"outcome": "success"}


@pytest.mark.parametrize(("truncated", "outcome"), [(True, "timeout"), (False, "failure")])
def test_without_success_a_truncated_episode_is_a_timeout_and_another_one_a_failure(
    truncated: bool, outcome: str
) -> None:
    assert read_info({"is_success": 0.0}, truncated=truncated) == {"outcome": outcome}


def test_a_known_outcome_stands_above_success() -> None:
    assert taken({"outcome": "wall_collision", "success": True}) == {"outcome": "wall_collision"}


@pytest.mark.parametrize("value", ["yes", 0.5, [True], None])
def test_success_that_is_neither_true_nor_false_is_no_outcome(value: object) -> None:
    assert taken({"success": value}) == {}


@pytest.mark.parametrize("name", [*EpisodeInfo.__annotations__])
@pytest.mark.parametrize("value", [[1], {"a": 1}, "x", 5, np.arange(3), np.float64("nan"), object(), True])
def test_no_value_of_any_key_keeps_a_result_from_becoming_json(name: str, value: object) -> None:
    json.dumps(result_of({name: value}, 1.0, 2).to_dict(), allow_nan=False)
