"""Training never uses a seed that is kept for evaluation, and all its other seeds stay what they were."""

import numpy as np
import pytest
from gymnasium.utils.seeding import np_random

from dreamer_exp.algorithms.rllib.env_runner import env_seed
from dreamer_exp.config.schema import EvaluationConfig
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.seeds import RESERVED, derive_seed, draw_seed, is_reserved

RESERVED_AFTER = 7772  # the first seed drawn after a reset with this one is reserved
RUN_WITH_RESERVED = 798  # and the first word of this run's first environment


@pytest.mark.parametrize("seed", [101, 103, 111, 140, 900_000, 1_000_000, 1_099_999])
def test_evaluation_seeds_are_reserved(seed: int) -> None:
    assert is_reserved(seed)


@pytest.mark.parametrize("seed", [0, 100, 104, 110, 141, 899_999, 1_100_000, 2**31 - 1])
def test_other_seeds_are_not_reserved(seed: int) -> None:
    assert not is_reserved(seed)


def test_default_evaluation_seeds_are_reserved() -> None:
    assert any(EvaluationConfig(name="x").seed in seeds for seeds in RESERVED)


def test_drawn_seeds_are_the_generators_without_the_reserved_ones() -> None:
    drawn, plain = np.random.default_rng(0), np.random.default_rng(0)
    seeds = [draw_seed(drawn, 150) for _ in range(500)]
    kept = [seed for seed in (int(plain.integers(150)) for _ in range(2_000)) if not is_reserved(seed)]

    assert seeds == kept[:500]
    assert set(seeds).isdisjoint(range(111, 141))


def test_derived_seeds_are_the_first_words_that_are_not_reserved() -> None:
    first, second = (np.random.SeedSequence(RUN_WITH_RESERVED, spawn_key=(2, 0, 0)).generate_state(2) >> 1).tolist()

    assert is_reserved(first)
    assert env_seed(RUN_WITH_RESERVED, 0, 0) == derive_seed(RUN_WITH_RESERVED, (2, 0, 0)) == second


@pytest.mark.parametrize("run_seed", [0, 1, 123, 2**31 - 1])
def test_ordinary_derived_seeds_are_the_first_words(run_seed: int) -> None:
    first = int(np.random.SeedSequence(run_seed, spawn_key=(2, 1, 3)).generate_state(1)[0] >> 1)

    assert env_seed(run_seed, 1, 3) == first


def seed_after(env: CrowdNavEnv, seed: int) -> int:
    """Return the seed of the episode that follows the one of this seed."""
    env.reset(seed=seed)
    env.reset()
    return int(env.step(np.zeros(2, np.float32))[4]["seed"])


def test_crowd_nav_draws_again_where_a_seed_is_reserved() -> None:
    generator = np_random(RESERVED_AFTER)[0]
    first, second = int(generator.integers(2**31)), int(generator.integers(2**31))

    assert is_reserved(first)
    assert seed_after(CrowdNavEnv("open", max_steps=1), RESERVED_AFTER) == second


def test_ordinary_episodes_of_crowd_nav_keep_their_seeds() -> None:
    assert seed_after(CrowdNavEnv("open", max_steps=1), 5) == int(np_random(5)[0].integers(2**31))
