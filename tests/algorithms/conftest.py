"""Fixtures of the algorithms' tests."""

from collections.abc import Iterator

import pytest

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.experiments import nano


@pytest.fixture(scope="module")
def trained(algo: str, ray_local: None) -> Iterator[BaseDreamerV3]:
    """Yield an algorithm after five iterations of 16 steps with episodes of 20 steps, so that each spans two chunks.

    The tests of a module share it, so none may change it.
    """
    algorithm = build_algorithm(nano(f"algo={algo}", "algo.training_ratio=1"))
    algorithm.episodes_seen = []
    for _ in range(5):
        algorithm.train()
        algorithm.episodes_seen += algorithm.last_iteration.episodes
    yield algorithm
    algorithm.stop()
