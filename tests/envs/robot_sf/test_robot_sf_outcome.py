"""Outcomes and figures from Robot SF's `meta`, without the package."""

import math
from typing import Any

import pytest

from dreamer_exp.envs.robot_sf.outcome import OUTCOMES, EpisodeRecord, decide_outcome, path_length

QUIET = dict.fromkeys(OUTCOMES, False)


@pytest.mark.parametrize(("flag", "outcome"), OUTCOMES.items())
def test_each_flag_has_its_outcome(flag: str, outcome: str) -> None:
    assert decide_outcome({**QUIET, flag: True}) == outcome


def test_without_a_flag_the_episode_goes_on() -> None:
    assert decide_outcome(QUIET) is None


def test_a_collision_outweighs_success_and_success_a_timeout() -> None:
    everything = dict.fromkeys(OUTCOMES, True)
    order = []
    while (outcome := decide_outcome(everything)) is not None:
        order.append(outcome)
        everything = {**everything, next(flag for flag, name in OUTCOMES.items() if name == outcome): False}

    assert order == ["pedestrian_collision", "wall_collision", "robot_collision", "success", "timeout"]


def step(clearance: float, **terms: float) -> dict[str, Any]:
    return {"min_clearance": clearance, "reward_terms": terms}


def test_the_record_sums_the_way_the_terms_and_the_time() -> None:
    record = EpisodeRecord((0.0, 0.0), [(3.0, 4.0), (3.0, 10.0)])
    record.add((0.0, 1.0), step(2.0, progress=0.5))
    record.add((1.0, 1.0), step(1.0, progress=0.25, living=-0.1))

    told = record.summary(dt=0.1)
    assert (told["path_length"], told["route_length"], told["time_s"]) == (2.0, 11.0, 0.2)
    assert told["reward_terms"] == {"progress": 0.75, "living": -0.1}


def test_the_least_clearance_is_kept_and_near_misses_are_counted_in_steps() -> None:
    record = EpisodeRecord((0.0, 0.0), [])
    for clearance in (1.0, 0.2, 0.1, 0.7, -0.1):
        record.add((0.0, 0.0), step(clearance))

    told = record.summary(dt=0.1)
    assert (told["min_clearance"], told["near_misses"]) == (-0.1, 2)


def test_nobody_walking_leaves_no_clearance() -> None:
    record = EpisodeRecord((0.0, 0.0), [])
    record.add((0.0, 0.0), step(math.nan))

    assert record.summary(dt=0.1)["min_clearance"] is None


def test_a_way_of_one_point_has_no_length() -> None:
    assert path_length([(1.0, 2.0)]) == 0.0
