"""crowd_nav follows Gymnasium's interface and Robot SF's contract."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from crowd_nav_worlds import FixedEnv, layout
from gymnasium.utils.env_checker import check_env

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav import spaces
from dreamer_exp.envs.crowd_nav.config import CrowdNavReward
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES

ID = "dreamer_exp.envs:dreamer_exp/CrowdNav-v0"


@pytest.mark.parametrize("family", ["open", "dense"])
def test_crowd_nav_passes_gymnasiums_checker(family):
    check_env(CrowdNavEnv(family, render_mode="rgb_array"), skip_render_check=False)


def test_gymnasium_makes_crowd_nav_by_its_id():
    env = gymnasium.make(ID, scenario="open", max_steps=200)
    assert isinstance(env.unwrapped, CrowdNavEnv)
    assert env.unwrapped.max_steps == 200


def test_spaces_equal_those_of_robot_sf():
    space = spaces.observation_space()
    assert {key: (box.shape, box.dtype) for key, box in space.items()} == {
        "drive_state": ((3, 5), np.float32),
        "rays": ((3, 272), np.float32),
    }
    assert spaces.action_space() == gymnasium.spaces.Box(-1, 1, (2,), np.float32)


def test_spaces_and_registration_import_no_simulator():
    code = (
        "import sys, dreamer_exp.envs; from dreamer_exp.envs.crowd_nav import spaces;"
        "spaces.observation_space(); spaces.action_space();"
        "print(sorted({'navground', 'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_observation_lies_in_the_space(family, run_episode, actions):
    env = CrowdNavEnv(family)
    for observation, *_ in run_episode(env, 3, actions):
        assert env.observation_space.contains(observation)


def test_returned_observations_are_never_modified():
    env = CrowdNavEnv("open")
    first, _ = env.reset(seed=1)
    kept = {key: value.copy() for key, value in first.items()}
    env.step(np.ones(2, dtype=np.float32))
    assert all(np.array_equal(first[key], kept[key]) for key in kept)


def test_mixed_draws_families_by_weight():
    env = CrowdNavEnv("mixed", scenario_weights={"open": 1.0, "corridor": 3.0})
    env.reset(seed=0)
    drawn = []
    for _ in range(80):
        env.reset()
        drawn.append(env.layout.scenario)
    assert set(drawn) == {"open", "corridor"}
    assert drawn.count("corridor") > drawn.count("open")


def test_render_returns_a_square_picture():
    env = CrowdNavEnv("blocks", render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert picture is not None
    assert picture.shape == (480, 480, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 8


def test_without_a_render_mode_render_returns_none():
    env = FixedEnv(layout())
    env.reset(seed=0)
    assert env.render() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario": "opne"}, "env.scenario='opne': no such scenario family. Did you mean 'open'? There are: mixed,"),
        ({"scenario_weights": {"opne": 1.0}}, "env.scenario_weights.opne=1.0: no such scenario family. Did you mean"),
        ({"scenario_weights": {"open": -1.0}}, "env.scenario_weights.open=-1.0: a weight is a finite number, 0 or"),
        ({"scenario_weights": {"open": float("nan")}}, "env.scenario_weights.open=nan"),
        ({"scenario_weights": {"open": 0.0}}, "at least one family needs a weight above 0"),
        ({"scenario_weights": {}}, "at least one family needs a weight above 0"),
        ({"max_steps": 0}, "env.max_steps=0: a whole number of steps, 1 or more"),
        ({"reward": {"progres": 1.0}}, "env.reward.progres: no such term. Did you mean 'progress'? There are:"),
        ({"reward": {"progress": float("inf")}}, "env.reward.progress=inf: a weight is a finite number"),
        ({"render_mode": "human"}, "env.render_mode='human': null or rgb_array"),
    ],
)
def test_wrong_option_is_refused_in_one_line_that_names_its_key(options, message):
    with pytest.raises(UserError) as error:
        CrowdNavEnv(**options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_reward_weights_are_a_dataclass_or_a_mapping_of_changes():
    full = CrowdNavEnv("open", reward=CrowdNavReward(living=-0.5))
    few = CrowdNavEnv("open", reward={"living": -0.5})
    rewards = []
    for env in (full, few):
        env.reset(seed=0)
        rewards.append(env.step(np.zeros(2, dtype=np.float32))[1])
    assert rewards == [-0.5, -0.5]


def test_action_that_is_not_finite_is_refused():
    env = CrowdNavEnv("open")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.array([np.nan, 0.0], dtype=np.float32))
