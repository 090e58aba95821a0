"""Outcomes and figures from Robot SF's `meta`, without the package."""

import math
from typing import Any

import pytest

from dreamer_exp.envs.robot_sf.outcome import OUTCOMES, EpisodeRecord, decide_outcome, path_length

QUIET = dict.fromkeys(OUTCOMES, False)


@pytest.mark.parametrize(("flag", "outcome"), OUTCOMES.items())
def test_each_flag_has_its_outcome(flag: str, outcome: str) -> None:
    assert decide_outcome({**QUIET, flag: True}) == outcome


def test_episode_continues_without_a_flag() -> None:
    assert decide_outcome(QUIET) is None


def test_collisions_win_over_success_and_success_over_timeout() -> None:
    everything = dict.fromkeys(OUTCOMES, True)
    order = []
    while (outcome := decide_outcome(everything)) is not None:
        order.append(outcome)
        everything = {**everything, next(flag for flag, name in OUTCOMES.items() if name == outcome): False}

    assert order == ["pedestrian_collision", "wall_collision", "robot_collision", "success", "timeout"]


def step(clearance: float, **terms: float) -> dict[str, Any]:
    return {"min_clearance": clearance, "reward_terms": terms}


def test_record_sums_path_terms_and_time() -> None:
    record = EpisodeRecord((0.0, 0.0), [(3.0, 4.0), (3.0, 10.0)])
    record.add((0.0, 1.0), step(2.0, progress=0.5))
    record.add((1.0, 1.0), step(1.0, progress=0.25, living=-0.1))

    figures = record.summary(dt=0.1)
    assert (figures["path_length"], figures["route_length"], figures["time_s"]) == (2.0, 11.0, 0.2)
    assert figures["reward_terms"] == {"progress": 0.75, "living": -0.1}


def test_record_keeps_the_minimum_clearance_and_counts_near_misses() -> None:
    record = EpisodeRecord((0.0, 0.0), [])
    for clearance in (1.0, 0.2, 0.1, 0.7, -0.1):
        record.add((0.0, 0.0), step(clearance))

    figures = record.summary(dt=0.1)
    assert (figures["min_clearance"], figures["near_misses"]) == (-0.1, 2)


def test_clearance_is_none_without_pedestrians() -> None:
    record = EpisodeRecord((0.0, 0.0), [])
    record.add((0.0, 0.0), step(math.nan))

    assert record.summary(dt=0.1)["min_clearance"] is None


def test_path_of_one_point_has_length_zero() -> None:
    assert path_length([(1.0, 2.0)]) == 0.0
