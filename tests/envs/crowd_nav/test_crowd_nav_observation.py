"""The observation: columns of the drive state, directions and noise of the rays, and the stack."""

import math

import numpy as np
import pytest
from crowd_nav_worlds import QUARTER, FixedEnv, layout, still

from dreamer_exp.envs.crowd_nav.observation import add_ray_noise


def newest(env, **options):
    observation, _ = env.reset(seed=0, **options)
    return {key: value[-1] for key, value in observation.items()}


def stand(env):
    return env.step(np.zeros(2, dtype=np.float32))


@pytest.mark.parametrize(
    ("column", "expected"),
    [(0, 0.0), (1, 0.0), (2, 10.0 / 50.0), (3, 0.5), (4, -0.5)],
    ids=["speed", "yaw rate", "distance", "bearing", "turn"],
)
def test_drive_state_at_the_start(column, expected):
    # The waypoint lies 10 m to the left; there the route turns right.
    env = FixedEnv(layout(route=((0.0, 10.0), (10.0, 10.0))))
    assert newest(env)["drive_state"][column] == pytest.approx(expected, abs=1e-6)


def test_speeds_are_divided_by_their_maximum():
    env = FixedEnv(layout())
    env.reset(seed=0)
    row = env.step(np.array([1.0, -1.0], dtype=np.float32))[0]["drive_state"][-1]
    assert row[:2] == pytest.approx([0.1 / 2.0, -0.1])


def test_distance_is_capped_at_fifty_metres():
    env = FixedEnv(layout(start=(-60.0, 0.0, 0.0), route=((60.0, 0.0),), half=70.0))
    assert newest(env)["drive_state"][2] == 1.0


def test_turn_is_zero_at_the_goal():
    assert newest(FixedEnv(layout()))["drive_state"][4] == 0.0


@pytest.mark.parametrize(
    ("place", "ray"),
    [((5.0, 0.0), 136), ((0.0, 5.0), 204), ((-5.0, 0.0), 0), ((0.0, -5.0), 68)],
    ids=["ahead", "left", "behind", "right"],
)
def test_rays_run_counter_clockwise_from_behind(place, ray):
    env = FixedEnv(layout(patrols=(still(*place),)))
    rays = newest(env)["rays"]
    assert int(rays.argmin()) == ray
    assert rays[ray] == pytest.approx(4.6 / 10.0, abs=1e-4)


def test_rays_turn_with_the_robot():
    env = FixedEnv(layout(start=(0.0, 0.0, QUARTER), patrols=(still(0.0, 5.0),)))
    assert int(newest(env)["rays"].argmin()) == 136


def test_ray_k_points_two_pi_k_over_272_from_behind():
    env = FixedEnv(layout(start=(0.0, 0.0, 0.7), half=6.0))
    angles = 0.7 - math.pi + math.tau * np.arange(272) / 272
    to_wall = 6.0 / np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles)))
    assert newest(env)["rays"] == pytest.approx(np.minimum(to_wall, 10.0) / 10.0, abs=1e-4)


def test_rays_without_an_obstacle_are_one():
    assert (newest(FixedEnv(layout()))["rays"] == 1.0).all()


def test_reset_fills_all_rows():
    observation, _ = FixedEnv(layout()).reset(seed=0)
    assert all((value == value[0]).all() for value in observation.values())


def test_rows_are_ordered_from_oldest_to_newest():
    env = FixedEnv(layout())
    env.reset(seed=0)
    for _ in range(3):
        observation = env.step(np.array([1.0, 0.0], dtype=np.float32))[0]
    assert observation["drive_state"][:, 0] == pytest.approx([0.05, 0.1, 0.15])


def test_rays_of_a_static_scene_are_constant_without_noise():
    env = FixedEnv(layout(half=6.0))
    first = newest(env)["rays"]
    assert (stand(env)[0]["rays"][-1] == first).all()


def test_noise_changes_rays_at_the_expected_rate():
    exact = FixedEnv(layout(half=6.0))
    noisy = FixedEnv(layout(half=6.0), lidar_noise=True)
    clean = newest(exact)["rays"]
    noisy.reset(seed=0)
    altered = np.mean([(stand(noisy)[0]["rays"][-1] != clean).mean() for _ in range(300)])
    assert altered == pytest.approx(0.005 + 0.995 * 0.002, abs=0.001)


def test_noise_makes_five_rays_in_a_thousand_miss_and_shortens_two():
    rng = np.random.default_rng(0)
    rays = np.full((2000, 272), 0.5, dtype=np.float32)
    for row in rays:
        add_ray_noise(row, rng)
    assert (rays == 1.0).mean() == pytest.approx(0.005, abs=5e-4)
    short = rays[rays < 0.5]
    assert short.size / rays.size == pytest.approx(0.00199, abs=3e-4)
    assert short.mean() == pytest.approx(0.25, abs=0.02)
