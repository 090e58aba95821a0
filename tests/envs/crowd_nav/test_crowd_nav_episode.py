"""Outcomes, the figures of the last info, and the reward."""

import json
import math

import numpy as np
import pytest
from crowd_nav_worlds import QUARTER, FixedEnv, drive, layout, still

from dreamer_exp.envs.crowd_nav.config import CrowdNavReward
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.outcome import decide_outcome
from dreamer_exp.envs.crowd_nav.reward import TERMS, Transition, action_change, reward_terms
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES

STAND = np.zeros(2, dtype=np.float32)
WEIGHTS = CrowdNavReward()
UNEVENTFUL = Transition(progress=0.0, clearance=None, action_change=0.0, outcome=None)


def test_goal_is_reached_within_two_metres():
    env = FixedEnv(layout())
    *_, terminated, truncated, info = drive(env, 1.0)
    assert (terminated, truncated, info["outcome"]) == (True, False, "success")
    assert 1.8 < 10.0 - env.simulator.robot.x <= 2.0


def test_step_limit_truncates_and_does_not_terminate():
    env = FixedEnv(layout(), max_steps=7)
    *_, terminated, truncated, info = drive(env, 0.0)
    assert (terminated, truncated, info["outcome"]) == (False, True, "timeout")
    assert info["time_s"] == pytest.approx(0.7)


def test_pedestrian_collision_is_at_1_4_metres_between_the_centres():
    env = FixedEnv(layout(patrols=(still(1.41, 0.0),), route=((0.0, 15.0),)))
    *_, terminated, truncated, info = drive(env, 1.0)
    assert (terminated, truncated, info["outcome"]) == (True, False, "pedestrian_collision")
    assert -0.2 < info["min_clearance"] <= 0.0


def test_wall_collision_is_at_one_metre():
    env = FixedEnv(layout(start=(17.0, 0.0, 0.0), route=((0.0, 15.0),)))
    *_, terminated, truncated, info = drive(env, 1.0)
    assert (terminated, truncated, info["outcome"]) == (True, False, "wall_collision")
    assert 19.0 <= env.simulator.robot.x < 19.2


def test_leaving_the_arena_is_a_wall_collision():
    outside = layout(start=(25.0, 0.0, 0.0), route=((40.0, 0.0),))
    assert drive(FixedEnv(outside), 0.0)[-1]["outcome"] == "wall_collision"


def test_collision_at_the_last_step_is_not_a_timeout():
    first = FixedEnv(layout(start=(17.0, 0.0, 0.0), route=((0.0, 15.0),)))
    length = round(drive(first, 1.0)[-1]["time_s"] * 10)
    last = FixedEnv(layout(start=(17.0, 0.0, 0.0), route=((0.0, 15.0),)), max_steps=length)
    *_, terminated, truncated, info = drive(last, 1.0)
    assert (terminated, truncated, info["outcome"]) == (True, False, "wall_collision")


@pytest.mark.parametrize(
    ("pedestrian", "wall", "success", "timeout", "outcome"),
    [
        (True, True, True, True, "pedestrian_collision"),
        (False, True, True, True, "wall_collision"),
        (False, False, True, True, "success"),
        (False, False, False, True, "timeout"),
        (False, False, False, False, None),
    ],
)
def test_collisions_win_over_success_and_success_over_timeout(pedestrian, wall, success, timeout, outcome):
    assert decide_outcome(pedestrian=pedestrian, wall=wall, success=success, timeout=timeout) == outcome


def test_waypoint_is_reached_within_two_metres():
    env = FixedEnv(layout(route=((4.0, 0.0), (4.0, 15.0))))
    observation, _ = env.reset(seed=0)
    while env.route.index == 0:
        observation = env.step(np.array([1.0, 0.0], dtype=np.float32))[0]
    assert 4.0 - env.simulator.robot.x <= 2.0
    assert observation["drive_state"][-1, 3] > 0.4


def test_info_is_empty_until_the_end():
    env = FixedEnv(layout())
    assert env.reset(seed=0)[1] == {}
    assert env.step(STAND)[-1] == {}


def test_final_info_is_strict_json():
    info = drive(FixedEnv(layout(), max_steps=5), 1.0)[-1]
    assert json.loads(json.dumps(info, allow_nan=False)) == info
    assert set(info) == {
        "outcome", "scenario", "seed", "path_length", "route_length", "time_s", "min_clearance", "near_misses",
        "reward_terms",
    }  # fmt: skip


def test_path_and_route_lengths_are_metres():
    info = drive(FixedEnv(layout(route=((10.0, 0.0), (10.0, 5.0))), max_steps=20), 1.0)[-1]
    assert info["path_length"] == pytest.approx(2.0)
    assert info["route_length"] == pytest.approx(15.0)


def test_without_pedestrians_there_is_no_clearance():
    info = drive(FixedEnv(layout(), max_steps=3), 0.0)[-1]
    assert (info["min_clearance"], info["near_misses"]) == (None, 0)


def test_near_misses_count_steps_closer_than_half_a_metre():
    env = FixedEnv(layout(start=(0.0, 0.0, QUARTER), patrols=(still(1.8, 0.0),), route=((0.0, 15.0),)), max_steps=2)
    info = drive(env, 0.0)[-1]
    assert info["near_misses"] == 2
    assert info["reward_terms"]["near_miss"] == pytest.approx(-2.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_sums_of_the_terms_add_up_to_the_return(family, run_episode, actions):
    episode = run_episode(CrowdNavEnv(family, max_steps=120), 2, actions)
    terms = episode[-1][-1]["reward_terms"]
    assert tuple(terms) == TERMS
    assert math.fsum(terms.values()) == pytest.approx(math.fsum(step[1] for step in episode))


@pytest.mark.parametrize(
    ("change", "term", "expected"),
    [
        ({"progress": 0.1}, "progress", 0.22),
        ({"progress": 5.0}, "progress", 0.44),
        ({"progress": -5.0}, "progress", -0.44),
        ({}, "living", -0.01),
        ({"outcome": "wall_collision"}, "collision", -10.0),
        ({"outcome": "pedestrian_collision"}, "collision", -10.0),
        ({"clearance": 0.49}, "near_miss", -1.0),
        ({"clearance": 0.51}, "near_miss", 0.0),
        ({"clearance": -0.01}, "near_miss", 0.0),
        ({"clearance": 0.25}, "comfort", -0.375),
        ({"clearance": 1.5}, "comfort", 0.0),
        ({"action_change": 0.5}, "smoothness", -0.1),
        ({"outcome": "timeout"}, "timeout", -3.0),
        ({"outcome": "success"}, "terminal_bonus", 3.0),
    ],
)
def test_reward_term(change, term, expected):
    assert reward_terms(WEIGHTS, UNEVENTFUL._replace(**change))[term] == pytest.approx(expected)


def test_action_change_is_between_zero_and_one():
    assert action_change((-1.0, -1.0), (1.0, 1.0)) == 1.0
    assert action_change((0.3, 0.3), (0.3, 0.3)) == 0.0


def test_detour_along_the_route_is_progress():
    # The route leads away from the goal first: the straight distance grows, and the progress is still positive.
    env = FixedEnv(layout(route=((10.0, 0.0), (-15.0, 8.0))), reward={"living": 0.0, "smoothness": 0.0})
    env.reset(seed=0)
    rewards = [env.step(np.array([1.0, 0.0], dtype=np.float32))[1] for _ in range(20)]
    assert min(rewards) > 0


def test_change_of_waypoint_is_not_rewarded():
    env = FixedEnv(layout(route=((4.0, 0.0), (4.0, 15.0))), reward={"living": 0.0, "smoothness": 0.0})
    env.reset(seed=0)
    while env.route.index == 0:
        before = env.simulator.robot
        reward = env.step(np.array([1.0, 0.0], dtype=np.float32))[1]
    assert reward == pytest.approx(2.2 * (env.simulator.robot.x - before.x))
