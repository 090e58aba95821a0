"""Robot SF's own planners as baselines."""

from importlib.util import find_spec

import numpy as np
import pytest
from robot_sf_episodes import CLASSIC, empty_area, matrix

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.baselines import DEFAULT, choose_baselines, make_baseline, split_applicable
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.robot_sf.planners import GRID, make_goal, with_grid
from dreamer_exp.envs.scene import state_of
from dreamer_exp.evaluation.evaluate import evaluate_baseline
from tests.experiments import experiment


def test_planners_need_robot_sf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)
    assert split_applicable(["goal", "orca", "random"], RobotSFConfig()) == (["random"], ["goal", "orca"])


def test_a_planner_refuses_another_environment() -> None:
    with pytest.raises(UserError, match="'goal' needs env=robot_sf"):
        make_goal(CrowdNavEnv(), 1)


@pytest.mark.robot_sf
def test_goal_drives_to_the_goal_of_an_empty_map() -> None:
    env = empty_area(max_steps=600)
    observation, info = env.reset(seed=1)
    planner = make_baseline("goal", RobotSFConfig(), env, 1)
    planner.reset()
    while not info:
        action = planner.act(observation)
        assert env.action_space.contains(action)
        observation, _, _, _, info = env.step(action)
    assert info["outcome"] == "success"


@pytest.mark.robot_sf
def test_goal_depends_on_the_episode_alone() -> None:
    env = empty_area(max_steps=20)
    planner = make_baseline("goal", RobotSFConfig(), env, 1)
    episodes = []
    for _ in range(2):
        observation, info = env.reset(seed=1)
        planner.reset()
        actions = []
        while not info:
            actions.append(planner.act(observation))
            observation, _, _, _, info = env.step(actions[-1])
        episodes.append(np.array(actions))
    assert np.array_equal(*episodes)


@pytest.mark.robot_sf
@pytest.mark.skipif(find_spec("rvo2") is None, reason="rvo2 is not installed")
def test_orca_is_for_an_environment_that_observes_rays() -> None:
    assert split_applicable(["goal", "orca"], RobotSFConfig()) == (["goal", "orca"], [])


@pytest.mark.robot_sf
@pytest.mark.skipif(find_spec("rvo2") is None, reason="rvo2 is not installed")
def test_orca_is_evaluated_next_to_a_policy_that_reads_rays() -> None:
    words = "env=robot_sf", "evaluation.episodes=1", "env.max_steps=30", "obs_contract=drive_state_rays"
    (result,) = evaluate_baseline(experiment(*words), "orca")
    assert result.length == 30
    assert result.social is not None


@pytest.mark.robot_sf
@pytest.mark.skipif(find_spec("rvo2") is not None, reason="rvo2 is installed")
def test_orca_of_the_default_list_is_a_line_without_its_package() -> None:
    possible, (line,) = choose_baselines(DEFAULT, RobotSFConfig())
    assert possible == ["random", "straight_to_goal", "goal"]
    assert line.startswith("no row for the baseline orca: it needs the package rvo2")


def test_a_grid_that_is_observed_already_is_kept() -> None:
    with_it = with_grid(RobotSFConfig())
    assert with_grid(with_it) is with_it


@pytest.mark.robot_sf
def test_an_episode_is_the_same_with_a_grid_in_the_observation() -> None:
    config = RobotSFConfig(scenario_matrix=matrix(CLASSIC, "classic_doorway_low"))
    states = []
    for options in (config, with_grid(config)):
        env = RobotSFEnv(options)
        observation, _ = env.reset(seed=1)
        for _ in range(30):
            env.step(np.array([0.5, 0.1], np.float32))
        states.append(state_of(env))
    assert set(GRID) <= set(observation)
    assert states[0].position == states[1].position
    assert np.array_equal(states[0].pedestrians, states[1].pedestrians)
