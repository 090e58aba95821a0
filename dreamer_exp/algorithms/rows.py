"""Batches whose rows are independent episodes: a fixed number of rows, each with its own noise."""

import torch
from torch import Tensor

ROWS = 32
"""Rows of a deterministic policy's batch; those without an episode are computed too.

An episode then depends neither on its row nor on the number of episodes, bit for bit (tests/algorithms/test_policy.py):
products of one shape round every row alike, and no element-wise operation has a remainder. Torch computes remainders
of its vector loops, less than 32 numbers with AVX-512, by other code that may round differently.
"""


class RowNoise:
    """Uniform noise of N rows, each drawn from a generator of its own.

    So the noise of an episode depends on its seed alone, and neither on its row nor on the other rows.

    Args:
        rows: N.
    """

    def __init__(self, rows: int) -> None:
        self._generators: list[torch.Generator | None] = [None] * rows

    @property
    def rows(self) -> int:
        """N."""
        return len(self._generators)

    def begin(self, row: int, seed: int) -> None:
        """Draw this row from a new generator with this seed."""
        self._generators[row] = torch.Generator().manual_seed(seed)

    def uniform(self, columns: int) -> Tensor:
        """Return noise (N, columns) in [0, 1) on the CPU; zeros in rows that have not begun."""
        noise = torch.zeros(len(self._generators), columns)
        for row, generator in zip(noise, self._generators, strict=True):
            if generator is not None:
                torch.rand(columns, generator=generator, out=row)
        return noise

    def normal(self, columns: int) -> Tensor:
        """Return standard normal noise (N, columns) on the CPU; zeros in rows that have not begun."""
        noise = torch.zeros(len(self._generators), columns)
        for row, generator in zip(noise, self._generators, strict=True):
            if generator is not None:
                torch.randn(columns, generator=generator, out=row)
        return noise

    def states(self) -> tuple[Tensor | None, ...]:
        """Return the state of each row's generator; None for rows that have not begun."""
        return tuple(None if generator is None else generator.get_state() for generator in self._generators)

    def load_states(self, states: tuple[Tensor | None, ...]) -> None:
        """Continue from states that `states` returned."""
        self._generators = [None if state is None else torch.Generator().set_state(state) for state in states]
