"""The random streams of one episode. Robot SF draws from global generators, which are replaced while it runs."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class EpisodeStreams:
    """The generators of the episode of one seed.

    Robot SF draws routes, spawn points and new goals of pedestrians from Python's `random` and from `numpy.random`
    while it builds, resets and steps. Inside `installed`, these two continue the streams of the episode; afterwards
    they are restored. So the episode depends on its seed alone, and no other random numbers change.

    `noise` is the generator of the lidar noise, `choice` the one that draws a scenario.
    """

    def __init__(self, seed: int) -> None:
        self._python = random.Random(seed).getstate()
        self._numpy = np.random.RandomState(seed).get_state()  # the kind that Robot SF uses
        self.noise = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        self.choice = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Use the streams of this episode as the global generators inside the context."""
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
