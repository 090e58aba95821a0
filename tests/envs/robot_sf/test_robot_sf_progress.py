"""env.progress: the reward's distance to the goal, straight or along the route."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from robot_sf_episodes import CLASSIC, drive, matrix, random_actions, same, toward_the_goal

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import spaces_of
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.robot_sf.reward import ROUTE_TERMS
from dreamer_exp.envs.robot_sf.route_progress import RouteReward

WINDING = "classic_t_intersection_low"
PROGRESS_ALONE = {**dict.fromkeys(ROUTE_TERMS, 0.0), "progress": 1.0}


def winding(progress: str, **keys: Any) -> RobotSFEnv:
    """Return a scenario whose route has several waypoints."""
    return RobotSFEnv(RobotSFConfig(progress=progress, scenario_matrix=matrix(CLASSIC, WINDING), **keys))


def length(points: list[tuple[float, float]]) -> float:
    """Return the metres from point to point."""
    return sum(math.dist(a, b) for a, b in pairwise(points))


@pytest.mark.robot_sf
def test_each_step_pays_the_metres_gained_along_the_route() -> None:
    env = winding("route", reward_weights=PROGRESS_ALONE, max_steps=300)
    act = toward_the_goal(env)
    observation, _ = env.reset(seed=0)
    navigator = env._env.simulator.robot_navs[0]
    assert len(navigator.waypoints) > 2
    reached, ended = 0, False
    while not ended:
        place, before = navigator.waypoint_id, navigator.pos
        observation, reward, terminated, truncated, _ = env.step(act(observation))
        ended = terminated or truncated
        ahead = list(navigator.waypoints[place:])
        assert reward == pytest.approx(length([before, *ahead]) - length([navigator.pos, *ahead]), abs=1e-9)
        reached += navigator.waypoint_id > place
    assert reached > 0, "the route's waypoints count, not only its end"


@pytest.mark.robot_sf
def test_leaving_the_goal_along_the_route_is_progress() -> None:
    package.load()
    from robot_sf.gym_env.reward import build_reward_function
    from robot_sf.nav.navigation import RouteNavigator

    own = build_reward_function("route_completion_v3", {"weights": PROGRESS_ALONE})
    navigator = RouteNavigator([(0.0, 5.0), (5.0, 5.0), (5.0, 0.0)], 0, 1.0, (0.0, 0.0))
    reward = RouteReward(own, navigator)
    navigator.update_position((0.0, 0.5))
    straight = {"prev_distance_to_goal": 5.0, "distance_to_goal": math.dist((0.0, 0.5), (5.0, 0.0))}

    assert own(dict(straight)) < 0.0
    assert reward(dict(straight)) == pytest.approx(0.5)


@pytest.mark.robot_sf
def test_reaching_a_waypoint_pays_nothing_by_itself() -> None:
    package.load()
    from robot_sf.nav.navigation import RouteNavigator

    navigator = RouteNavigator([(0.0, 5.0), (5.0, 5.0)], 0, 1.0, (0.0, 4.1))
    reward = RouteReward(lambda meta: meta["prev_distance_to_goal"] - meta["distance_to_goal"], navigator)
    navigator.update_position((0.0, 4.1))
    assert navigator.waypoint_id == 1

    assert reward({}) == 0.0
    navigator.update_position((0.5, 4.1))
    assert reward({}) == pytest.approx(math.dist((0.0, 4.1), (5.0, 5.0)) - math.dist((0.5, 4.1), (5.0, 5.0)))


@pytest.mark.robot_sf
def test_progress_changes_rewards_alone() -> None:
    straight, route = (drive(winding(way, max_steps=60), 7, random_actions(0)) for way in ("straight", "route"))

    assert straight.rewards != route.rewards
    straight.rewards = route.rewards
    for episode in (straight, route):
        episode.infos[-1].pop("reward_terms", None)
    assert same(straight, route)


@pytest.mark.robot_sf
def test_a_new_episode_measures_its_own_route() -> None:
    env = winding("route", max_steps=30)
    first = drive(env, 3, random_actions(1))
    drive(env, 9, random_actions(2))

    assert same(drive(env, 3, random_actions(1)), first)


@pytest.mark.parametrize("reward", ["simple", "punish_action", "snqi_step"])
def test_reward_without_a_distance_is_refused_in_one_line(reward: str) -> None:
    with pytest.raises(UserError, match=rf"^env\.progress=route: env\.reward_name={reward} doesn't read .*alyassi\.$"):
        spaces_of(RobotSFConfig(progress="route", reward_name=reward))


@pytest.mark.robot_sf
def test_robot_sfs_own_rewards_stay_under_straight() -> None:
    driven = drive(winding("straight", max_steps=20), 5, lambda _: np.array([1.0, 0.0], np.float32))
    terms = driven.infos[-1]["reward_terms"]

    assert sum(terms.values()) == pytest.approx(sum(driven.rewards))
