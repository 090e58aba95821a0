"""`env.ranges`: what is drawn for an episode, its bounds, and that the defaults change nothing."""

from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig, CrowdNavRanges
from dreamer_exp.envs.crowd_nav.constants import ROBOT_RADIUS
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.ranges import BOUNDS, Difficulty, draw_difficulty, ranges_of
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES
from dreamer_exp.envs.crowd_nav.scenarios.geometry import points_to_segments
from dreamer_exp.envs.crowd_nav.scenarios.layout import Layout
from dreamer_exp.envs.make import contract_of
from tests.experiments import experiment

USUAL = CrowdNavRanges()
WIDEST = CrowdNavRanges(**{name: list(limits) for name, limits in BOUNDS.items()})


def layout(seed: int, ranges: CrowdNavRanges, scenario: str) -> Layout:
    env = CrowdNavEnv(scenario=scenario, ranges=ranges)
    env.reset(seed=seed)
    return env.layout


def door_width(made: Layout) -> float:
    """Return the width of the only gap in the wall between two rooms."""
    first, second = made.walls[4:6].reshape(2, 2, 2)
    return float(min(np.linalg.norm(a - b) for a in first for b in second))


def test_by_default_an_episode_has_robot_sfs_values() -> None:
    assert draw_difficulty(USUAL, seed=3) == Difficulty()


def test_values_lie_in_their_ranges_and_differ_between_episodes() -> None:
    drawn = [draw_difficulty(WIDEST, seed) for seed in range(50)]

    for name in ("ray_miss", "ray_short", "passage_scale", "wall_clearance", "start_clearance"):
        values, (low, high) = [getattr(one, name) for one in drawn], BOUNDS[name]
        assert low <= min(values) < max(values) <= high


def test_a_range_does_not_move_the_draws_of_another() -> None:
    alone = draw_difficulty(replace(USUAL, start_clearance=[0.5, 3.0]), seed=4)
    together = draw_difficulty(replace(WIDEST, start_clearance=[0.5, 3.0]), seed=4)

    assert alone.start_clearance == together.start_clearance


def test_ranges_of_noise_leave_the_layout_of_a_seed_as_it_is() -> None:
    usual, noisy = (layout(5, ranges, "blocks") for ranges in (USUAL, replace(USUAL, ray_miss=[0.0, 0.5])))

    assert np.array_equal(usual.walls, noisy.walls)
    assert np.array_equal(usual.route, noisy.route)


def test_pedestrians_walk_at_the_given_speed() -> None:
    made = layout(1, replace(USUAL, pedestrian_speed=[1.2, 1.4]), "dense")

    assert all(1.2 <= patrol.speed <= 1.4 for patrol in made.patrols)


def test_a_fast_pedestrian_is_as_fast_in_the_simulation() -> None:
    env = CrowdNavEnv(scenario="crossing", ranges=replace(USUAL, pedestrian_speed=[1.5, 1.5]))
    env.reset(seed=2)

    for _ in range(20):
        env.step(np.zeros(2, np.float32))

    assert np.linalg.norm(env.simulator.pedestrians[1], axis=1).max() > 1.2


@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_rays_miss_with_the_given_probability(probability: float) -> None:
    ranges = replace(USUAL, ray_miss=[probability] * 2, ray_short=[0.0, 0.0])
    noisy, exact = CrowdNavEnv("corridor", ranges=ranges), CrowdNavEnv("corridor", lidar_noise=False)
    observed, true = (env.reset(seed=3)[0]["rays"][-1] for env in (noisy, exact))

    changed = float(np.mean(observed != true)) / float(np.mean(true < 1.0))

    assert changed == pytest.approx(probability, abs=0.12)


def test_doors_become_narrower_but_not_narrower_than_the_robot_needs() -> None:
    ranges = replace(USUAL, passage_scale=[0.25, 0.25], wall_clearance=[0.05, 0.05])

    widths = [door_width(layout(seed, ranges, "doorway")) for seed in range(10)]

    assert all(width == pytest.approx(2 * (ROBOT_RADIUS + 0.05) + 0.1) for width in widths)


def test_starts_come_as_near_to_walls_as_the_clearance_allows() -> None:
    ranges = replace(USUAL, passage_scale=[0.5, 0.5], wall_clearance=[0.05, 0.05])

    distances = []
    for seed in range(40):
        made = layout(seed, ranges, "blocks")
        distances.append(points_to_segments(np.array([made.start[:2]]), made.walls).min() - ROBOT_RADIUS)

    assert 0.05 <= min(distances) < 0.3


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_layouts_in_the_widest_ranges(family: str) -> None:
    for seed in range(10):
        assert layout(seed, WIDEST, family).route_length > 0


@pytest.mark.parametrize("given", [[0.6], [0.7, 0.6], [0.0, 1.0], [0.5, 3.0], [0.5, float("nan")]])
def test_a_range_out_of_order_or_bounds_is_refused(given: list[float]) -> None:
    config = CrowdNavConfig(ranges=replace(USUAL, pedestrian_speed=given))

    with pytest.raises(UserError, match=r"env\.ranges\.pedestrian_speed=\[.*\]: give \[low, high\], from 0.1 to 2\."):
        contract_of(config, experiment().obs_contract)


def test_a_mapping_overrides_some_of_the_defaults_and_an_unknown_name_is_refused() -> None:
    assert ranges_of({"ray_miss": [0.0, 0.1]}) == replace(USUAL, ray_miss=[0.0, 0.1])
    with pytest.raises(UserError, match=r"env\.ranges\.ray_mis: no such range\. Did you mean 'ray_miss'\?"):
        ranges_of({"ray_mis": [0.0, 0.1]})
