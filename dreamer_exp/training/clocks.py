"""Clocks of the training loop: each decides whether an action is due."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Every:
    """Clock that is due at each multiple of a number of iterations."""

    iterations: int

    def __call__(self, iteration: int) -> bool:
        """Return whether the action is due after this iteration, counted from 1."""
        return iteration % self.iterations == 0
