"""The adapter with the real package: ends, infos, seeds, noise, step limits."""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.seeding import np_random
from robot_sf_episodes import (
    CLASSIC,
    EMPTY,
    SANITY,
    SCENARIOS,
    drive,
    empty_area,
    matrix,
    random_actions,
    same,
    toward_the_goal,
)

from dreamer_exp.envs.crowd_nav import spaces
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.robot_sf.spaces import known
from dreamer_exp.envs.seeds import is_reserved
from tests.experiments import experiment

pytestmark = pytest.mark.robot_sf

STEPS = 40


@pytest.fixture(scope="module")
def env() -> RobotSFEnv:
    """Six scenarios with pedestrians, noise on."""
    return RobotSFEnv(RobotSFConfig(scenario_matrix=matrix(CLASSIC, *SCENARIOS)))


# ends


@pytest.mark.parametrize("name", SCENARIOS)
def test_outcomes_agree_with_robot_sfs_flags(env: RobotSFEnv, name: str) -> None:
    acts = [random_actions(0), random_actions(1), toward_the_goal(env)]
    faults = [drive(env, seed, act, scenario=name).disagreement() for seed, act in enumerate(acts)]

    assert faults == [None] * 3


def test_timeout_is_truncated_and_not_terminated() -> None:
    episode = drive(empty_area(max_steps=12), 0, lambda _: np.zeros(2, np.float32))

    assert episode.infos[-1]["outcome"] == "timeout"
    assert episode.ends == [(False, False)] * 11 + [(False, True)]
    assert episode.own_terminated, "Robot SF reports a timeout as terminated"


@pytest.mark.parametrize("max_steps", [1, 3, 7, 10, 250])
def test_step_limit_is_exact(max_steps: int) -> None:
    episode = drive(empty_area(max_steps=max_steps), 0, lambda _: np.zeros(2, np.float32))

    assert len(episode.rewards) == max_steps
    assert episode.infos[-1]["time_s"] == pytest.approx(max_steps * 0.1)


def test_step_limit_of_the_scenario_holds_if_it_is_lower() -> None:
    episode = drive(empty_area(max_steps=10_000), 0, lambda _: np.zeros(2, np.float32))

    assert len(episode.rewards) == 250


def test_step_length_does_not_change_the_number_of_steps() -> None:
    episode = drive(empty_area(dt=0.2), 0, lambda _: np.zeros(2, np.float32))

    assert (len(episode.rewards), episode.infos[-1]["time_s"]) == (250, pytest.approx(50.0))


def test_success_terminates() -> None:
    real = empty_area()
    episode = drive(real, 3, toward_the_goal(real))

    assert (episode.infos[-1]["outcome"], episode.ends[-1]) == ("success", (True, False))


# infos


def test_infos_are_empty_except_at_the_end(env: RobotSFEnv) -> None:
    episode = drive(env, 4, random_actions(4))

    assert episode.infos[:-1] == [{}] * (len(episode.infos) - 1)


def test_final_info_sums_the_reward_terms(env: RobotSFEnv) -> None:
    episode = drive(env, 4, random_actions(4))

    assert sum(episode.infos[-1]["reward_terms"].values()) == pytest.approx(sum(episode.rewards))


def test_seed_in_the_final_info_repeats_the_episode(env: RobotSFEnv) -> None:
    env.reset(seed=8)
    episode = drive(env, None, random_actions(4))
    again = drive(env, episode.infos[-1]["seed"], random_actions(4))

    assert same(episode, again)


def test_minimum_clearance_is_that_of_robot_sf(env: RobotSFEnv) -> None:
    env.reset(seed=5, options={"scenario": SCENARIOS[0]})
    inner, returned = env._env, []
    step = inner.step
    inner.step = lambda action: returned.append(step(action)) or returned[-1]
    info: dict[str, Any] = {}
    act = random_actions(5)
    while not info:
        info = env.step(act(None))[-1]

    assert info["min_clearance"] == min(result[4]["meta"]["min_clearance"] for result in returned)


# seeds and noise


def test_seed_repeats_an_episode_with_noise_bit_for_bit(env: RobotSFEnv) -> None:
    first = drive(env, 11, random_actions(0), most=STEPS)
    drive(env, 12, random_actions(1), most=STEPS)

    assert same(first, drive(env, 11, random_actions(0), most=STEPS))


@pytest.mark.parametrize("name", SCENARIOS)
def test_seed_gives_the_same_episode_in_another_environment(env: RobotSFEnv, name: str) -> None:
    other = RobotSFEnv(RobotSFConfig(scenario_matrix=matrix(CLASSIC, *SCENARIOS)))
    random.seed(99)

    first, second = (drive(each, 13, random_actions(0), most=STEPS, scenario=name) for each in (env, other))
    assert same(first, second)


def test_interleaved_episodes_do_not_affect_each_other(env: RobotSFEnv) -> None:
    alone = drive(env, 14, random_actions(0), most=STEPS)
    other = RobotSFEnv(RobotSFConfig(scenario_matrix=matrix(CLASSIC, *SCENARIOS)))
    observation, _ = env.reset(seed=14)
    other.reset(seed=15)
    act = random_actions(0)
    for step, seen in enumerate(alone.observations[1:]):
        observation, *_ = env.step(act(observation))
        other.step(np.ones(2, np.float32))
        assert np.array_equal(observation["rays"], seen["rays"]), step


def test_different_seeds_give_different_crowds(env: RobotSFEnv) -> None:
    crowds = []
    for seed in range(4):
        env.reset(seed=seed, options={"scenario": SCENARIOS[0]})
        crowds.append(env._env.simulator.ped_pos.tobytes())

    assert len(set(crowds)) == 4


def test_resets_without_a_seed_continue_the_stream_of_the_last_seed(env: RobotSFEnv) -> None:
    def three() -> list[Any]:
        env.reset(seed=21)
        return [drive(env, None, random_actions(0), most=3) for _ in range(3)]

    first, again = three(), three()
    assert all(map(same, first, again))
    assert not np.array_equal(first[0].observations[0]["rays"], first[1].observations[0]["rays"])


def test_global_generators_are_unchanged(env: RobotSFEnv) -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    drive(env, 30, random_actions(0), most=STEPS)

    assert (random.getstate(), np.random.get_state()[1].tobytes()) == before  # noqa: NPY002


def test_seed_gives_the_same_observations_in_two_processes() -> None:
    program = (
        "import hashlib; from robot_sf_episodes import *;"
        "env = RobotSFEnv(RobotSFConfig(lidar_noise=False, scenario_matrix=matrix(CLASSIC, *SCENARIOS)));"
        "seen = [drive(env, seed, random_actions(seed), most=60).observations for seed in range(3)];"
        "print(hashlib.sha256(b''.join(o[k].tobytes() for e in seen for o in e for k in o)).hexdigest())"
    )
    here = Path(__file__).resolve().parent
    runs = [
        subprocess.Popen([sys.executable, "-c", program], cwd=here, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    digests = [run.communicate(timeout=300)[0].strip() for run in runs]

    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


def test_noise_has_crowd_navs_rates_and_moves_with_the_stack(env: RobotSFEnv) -> None:
    quiet = RobotSFEnv(RobotSFConfig(lidar_noise=False, scenario_matrix=matrix(CLASSIC, *SCENARIOS)))
    noisy, clean = (drive(each, 17, random_actions(0), scenario=SCENARIOS[0]) for each in (env, quiet))
    rows = [np.array([o["rays"] for o in episode.observations]) for episode in (noisy, clean)]

    changed = rows[0][:, -1] != rows[1][:, -1]
    assert 0.002 < changed.mean() < 0.012, "p = .005 + .995 * .002, less those that are at the maximum without noise"
    assert np.array_equal(rows[0][1:, -2], rows[0][:-1, -1]), "a row keeps its noise as it moves up the stack"


def test_observations_without_noise_are_those_of_robot_sf(env: RobotSFEnv) -> None:
    quiet = RobotSFEnv(RobotSFConfig(lidar_noise=False, scenario_matrix=matrix(CLASSIC, *SCENARIOS)))
    quiet.reset(seed=1)
    inner = quiet._env.step
    returned: list[Any] = []
    quiet._env.step = lambda action: returned.append(inner(action)) or returned[-1]
    observation, *_ = quiet.step(np.zeros(2, np.float32))

    assert all(np.array_equal(observation[key], returned[0][0][key]) for key in ("drive_state", "rays"))


# spaces


def test_spaces_equal_those_of_crowd_nav(env: RobotSFEnv) -> None:
    assert (env.observation_space, env.action_space) == (spaces.observation_space(), spaces.action_space())


@pytest.mark.parametrize("name", ["robot_sf_br08_socnav_grid", "robot_sf_br08_socnav_grid_32x32"])
def test_grid_spaces_equal_those_known_without_the_package(name: str) -> None:
    composed = experiment(
        f"env={name}", f"+env.scenario_matrix.include=[{SCENARIOS[0]},{SCENARIOS[1]}]".lstrip("+")
    ).env
    assert isinstance(composed, RobotSFConfig)
    grid = RobotSFEnv(composed)

    assert (grid.observation_space, grid.action_space) == known(composed)
    assert grid.observation_space.contains(grid.reset(seed=0)[0])


def test_observations_stay_within_the_spaces(env: RobotSFEnv) -> None:
    episode = drive(env, 18, random_actions(0))

    assert all(env.observation_space.contains(observation) for observation in episode.observations)


def test_action_that_is_not_finite_is_refused(env: RobotSFEnv) -> None:
    env.reset(seed=0)

    with pytest.raises(ValueError, match="an action must be finite numbers"):
        env.step(np.array([np.nan, 0.0], np.float32))


def test_scenario_without_a_matrix_is_the_name_of_the_map() -> None:
    episode = drive(RobotSFEnv(RobotSFConfig(max_steps=2)), 0, random_actions(0))

    assert episode.infos[-1]["scenario"] == "uni_campus_big"


def test_empty_area_has_no_pedestrians() -> None:
    episode = drive(empty_area(max_steps=3), 0, random_actions(0))

    assert (episode.infos[-1]["min_clearance"], episode.infos[-1]["scenario"]) == (None, EMPTY)
    assert SANITY.endswith(".yaml")


# reserved seeds


def test_reserved_seed_is_drawn_again() -> None:
    env, generator = empty_area(max_steps=1), np_random(7772)[0]
    first, second = int(generator.integers(2**31 - 1)), int(generator.integers(2**31 - 1))
    env.reset(seed=7772)
    driven = drive(env, None, lambda _: np.zeros(2, np.float32))

    assert is_reserved(first)
    assert driven.infos[-1]["seed"] == second
