"""Random numbers of one episode: Robot SF draws from module-wide generators, which are lent to it and taken back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class EpisodeStreams:
    """The generators of the episode of one seed.

    Robot SF draws routes, spawn points and pedestrians' new goals from Python's `random` and from `numpy.random`,
    while it builds, resets and steps. Inside `lent` these two continue this episode's own streams, and outside they
    are what they were: the episode is a function of its seed, and nobody else's random numbers change.

    `noise` is the lidar's generator, `choice` the one that draws a scenario.
    """

    def __init__(self, seed: int) -> None:
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.RandomState(seed).get_state()  # the kind that Robot SF uses
        self.noise = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        self.choice = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))

    @contextmanager
    def lent(self) -> Iterator[None]:
        """While this lasts, the module-wide generators are this episode's."""
        outer = random.getstate(), np.random.get_state()  # noqa: NPY002
        _put(self._python, self._numpy)
        try:
            yield
        finally:
            self._python, self._numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
            _put(*outer)


def _put(python: tuple[object, ...], numpy: object) -> None:
    random.setstate(python)
    np.random.set_state(numpy)  # type: ignore[arg-type]  # noqa: NPY002
