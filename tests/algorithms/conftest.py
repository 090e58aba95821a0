"""Fixtures of the algorithms' tests."""

from collections.abc import Iterator

import pytest

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from tests.experiments import nano


@pytest.fixture
def trained(algo: str) -> Iterator[BaseDreamerV3]:
    """Yield an algorithm after five iterations of 16 steps with episodes of 20 steps, so that each spans two chunks."""
    algorithm = build_algorithm(nano(f"algo={algo}"))
    algorithm.episodes_seen = []
    for _ in range(5):
        algorithm.train()
        algorithm.episodes_seen += algorithm.last_iteration.episodes
    yield algorithm
    algorithm.stop()
