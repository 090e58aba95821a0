"""env.config and env.factory_kwargs with the real dataclass: values that arrive, and errors."""

from typing import Any

import pytest
from robot_sf_episodes import EMPTY, SANITY, matrix

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv

pytestmark = pytest.mark.robot_sf


def made(config: dict[str, Any], **keys: Any) -> Any:
    """Return Robot SF's configuration of an environment with these overrides."""
    env = RobotSFEnv(RobotSFConfig(config=config, scenario_matrix=matrix(SANITY, EMPTY), **keys))
    env.reset(seed=0)
    return env._env.config


def test_nested_value_arrives() -> None:
    assert made({"sim_config": {"prf_config": {"force_multiplier": 7.5}}}).sim_config.prf_config.force_multiplier == 7.5


@pytest.mark.parametrize("active", [True, False])
def test_value_that_robot_sf_mirrors_in_another_field_arrives(active: bool) -> None:
    config = made({"sim_config": {"prf_config": {"is_active": active}}, "peds_have_static_obstacle_forces": active})

    assert (config.sim_config.prf_config.is_active, config.peds_have_static_obstacle_forces) == (active, active)


def test_enumeration_takes_its_word() -> None:
    grid = {"width": 6.4, "height": 6.4, "resolution": 0.2, "channels": ["obstacles", "combined"]}
    config = made({"use_occupancy_grid": True, "grid_config": grid})

    assert [channel.value for channel in config.grid_config.channels] == ["obstacles", "combined"]


def test_lidar_noise_of_robot_sf_is_off_and_other_settings_stay() -> None:
    lidar = made({"lidar_config": {"max_scan_dist": 7.0}}).lidar_config

    assert (list(lidar.scan_noise), lidar.max_scan_dist) == ([0.0, 0.0], 7.0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"sim_confg": {}}, "env.config.sim_confg: Robot SF has no such field. Did you mean 'env.config.sim_config'?"),
        (
            {"sim_config": {"dificulty": 1}},
            "env.config.sim_config.dificulty: Robot SF has no such field. Did you mean 'env.config.sim_config.diff",
        ),
        ({"sim_config": 3}, "env.config.sim_config=3: it is a group of fields"),
        ({"sim_config": {"difficulty": "hard"}}, "env.config.sim_config.difficulty='hard' is of the wrong type"),
        ({"map_id": {"a": 1}}, "env.config.map_id={'a': 1}: it is one value"),
        ({"observation_mode": "socnav"}, "env.config.observation_mode='socnav' is not one of: default_gym"),
        ({"lidar_config": {"num_rays": -1}}, "env.config.lidar_config: Robot SF refuses it"),
        ({"include_grid_in_observation": True}, "env.config: Robot SF refuses it"),
        (
            {"lidar_config": {"scan_noise": [0.1, 0.1]}},
            "env.config.lidar_config.scan_noise: set env.lidar_noise instead.",
        ),
        (
            {"sim_config": {"time_per_step_in_secs": 1}},
            "env.config.sim_config.time_per_step_in_secs: set env.dt instead.",
        ),
        ({"sim_config": {"sim_time_in_secs": 1}}, "env.config.sim_config.sim_time_in_secs: set env.max_steps instead."),
    ],
)
def test_unknown_field_or_refused_value_is_named(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refusal:
        made(config)

    assert str(refusal.value).startswith(words)


def test_unknown_argument_of_make_robot_env_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"env\.factory_kwargs\.debugg: .*Did you mean 'debug'\?"):
        made({}, factory_kwargs={"debugg": True})


def test_reward_weights_arrive() -> None:
    env = RobotSFEnv(
        RobotSFConfig(
            max_steps=1,
            reward_name="route_completion_v3",
            reward_weights={"living": -7.0},
            scenario_matrix=matrix(SANITY, EMPTY),
        )
    )
    env.reset(seed=0)
    info = env.step(env.action_space.sample() * 0)[-1]

    assert (info["reward_terms"]["living"], info["reward_terms"]["timeout"]) == (-7.0, -3.0)


def test_reward_without_weights_takes_factory_kwargs() -> None:
    kwargs = {"reward_kwargs": {"max_episode_step_discount": -5.0}}
    env = RobotSFEnv(
        RobotSFConfig(max_steps=1, reward_name="simple", factory_kwargs=kwargs, scenario_matrix=matrix(SANITY, EMPTY))
    )
    env.reset(seed=0)

    assert env.step(env.action_space.sample() * 0)[1] == -5.0


@pytest.mark.parametrize("name", ["social_quality_v1", "punish_action", "snqi_step", "alyassi"])
def test_every_reward_is_finite(name: str) -> None:
    env = RobotSFEnv(RobotSFConfig(max_steps=5, reward_name=name, scenario_matrix=matrix(SANITY, EMPTY)))
    env.reset(seed=0)

    assert all(abs(env.step(env.action_space.sample())[1]) < 1e3 for _ in range(5))
