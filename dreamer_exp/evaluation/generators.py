"""The global random generators of Python, NumPy and torch, kept apart from those of training."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class GlobalState(NamedTuple):
    """States of all global generators of this process."""

    python: Any
    numpy: Any
    torch: torch.Tensor
    cuda: list[torch.Tensor]


def get_state() -> GlobalState:
    """Return the states of all global generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return GlobalState(random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002


def set_state(state: GlobalState) -> None:
    """Set the states of all global generators."""
    random.setstate(state.python)
    np.random.set_state(state.numpy)  # noqa: NPY002
    torch.set_rng_state(state.torch)
    if state.cuda:
        torch.cuda.set_rng_state_all(state.cuda)


def seed_all(seed: int) -> None:
    """Seed all global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@contextmanager
def seeded_global_generators(seed: int) -> Iterator[None]:
    """Seed all global generators within the block, and restore them after it."""
    outer = get_state()
    seed_all(seed)
    try:
        yield
    finally:
        set_state(outer)


class SeparateGenerators:
    """Global generators that continue from one block to the next, apart from those outside the blocks.

    An env that draws from global generators neither changes training nor is changed by it.
    """

    def __init__(self) -> None:
        self._own: GlobalState | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Use the separate generators within the block, and restore the outer ones after it."""
        outer = get_state()
        if self._own is not None:
            set_state(self._own)
        try:
            yield
        finally:
            self._own = get_state()
            set_state(outer)
