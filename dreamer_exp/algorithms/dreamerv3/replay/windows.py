"""Which windows a batch is made of: drawn on the host, from the counts of each stream's steps alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRESH_WINDOWS = 1024  # most windows that wait for their first use, over all streams

Ints = NDArray[np.int64]


class Windows:
    """Draws of windows, in numpy on the host; the steps of a stream are numbered from its first.

    Args:
        num_streams: environments.
        ring: places of each stream.
        seed: of the draws.

    Attributes:
        added: steps that each stream has received.
        fresh_from: first step of each stream's next fresh window.
    """

    def __init__(self, num_streams: int, ring: int, seed: int) -> None:
        self.ring = ring
        self.added = np.zeros(num_streams, np.int64)
        self.fresh_from = np.zeros(num_streams, np.int64)
        self.generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def state(self) -> dict[str, Any]:
        """Return what the next draws depend on apart from the steps, as JSON types."""
        return {"fresh_from": self.fresh_from.tolist(), "generator": self.generator.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.fresh_from = np.array(state["fresh_from"], np.int64)
        self.generator.bit_generator.state = state["generator"]

    def append(self, streams: Ints, lengths: Ints) -> Ints:
        """Count new steps of streams (P,) in this order; return the number of the first of each (P,)."""
        starts = np.empty_like(lengths)
        for place, (stream, length) in enumerate(zip(streams, lengths, strict=True)):
            starts[place] = self.added[stream]
            self.added[stream] += length
        return starts

    def places(self, streams: Ints, numbers: Ints) -> Ints:
        """Return the places (n,) of the steps with these numbers, in the rings of all streams."""
        places: Ints = streams * self.ring + numbers % self.ring
        return places

    def holds(self, streams: Ints, numbers: Ints) -> NDArray[np.bool_]:
        """Return whether the rings hold the steps with these numbers, from -1 on (n,)."""
        held: NDArray[np.bool_] = numbers >= np.maximum(self.added[streams] - self.ring, 0)
        return held

    def counts(self, steps: int) -> Ints:
        """Return the number of windows of T+1 steps in each stream, for T = steps.

        Raises:
            ValueError: a ring is too small for a window.
        """
        if steps >= self.ring:
            raise ValueError(f"windows of {steps} steps and 1 of context do not fit a ring of {self.ring} places")
        counts: Ints = np.maximum(np.minimum(self.added, self.ring) - steps, 0)
        return counts

    def draw(self, rows: int, steps: int) -> Ints:
        """Return the places of B windows (B, T+1): fresh windows first, then uniform draws from all windows.

        Args:
            rows: B.
            steps: T.

        Raises:
            ValueError: no stream holds a window yet, or a ring is too small for one.
        """
        ends: Ints = self.counts(steps).cumsum()
        if ends[-1] == 0:
            raise ValueError(
                f"no stream holds the {steps + 1} steps of a window yet; the longest holds {self.added.max()}"
            )
        fresh_streams, fresh_starts = self._fresh(rows, steps)
        number = self.generator.integers(ends[-1], size=rows - len(fresh_streams))
        streams = np.searchsorted(ends, number, side="right")
        # the last window of a stream begins T+1 steps before its write position; count back from there
        starts = self.added[streams] - steps - (ends[streams] - number)
        streams, starts = np.concatenate([fresh_streams, streams]), np.concatenate([fresh_starts, starts])
        return streams[:, None] * self.ring + (starts[:, None] + np.arange(steps + 1)) % self.ring

    def _fresh(self, rows: int, steps: int) -> tuple[Ints, Ints]:
        """Return the streams and first steps of up to B windows that no batch has used, oldest windows first.

        This is the published online queue: every T new steps of a stream make a window, which is used once as soon as
        it is complete, or never if it is overwritten before. It departs in two points. The published queue has no
        bound, so that at a training ratio below 1 it only yields steps that are about to be overwritten; here all but
        the newest FRESH_WINDOWS are dropped, and uniform draws still reach them. Published windows start T+1 steps
        apart and leave out one step of T+1; these start T steps apart.
        """
        most = max(FRESH_WINDOWS // len(self.added), 1)
        oldest = np.maximum(self.added - self.ring, self.added - 1 - most * steps)
        np.maximum(self.fresh_from, oldest, out=self.fresh_from)
        waiting = np.maximum((self.added - 1 - self.fresh_from) // steps, 0)
        streams = np.repeat(np.arange(len(waiting)), waiting)
        nth = np.arange(len(streams)) - np.repeat(waiting.cumsum() - waiting, waiting)
        starts = self.fresh_from[streams] + nth * steps
        first = np.argsort(starts - self.added[streams], kind="stable")[:rows]  # by age
        self.fresh_from += steps * np.bincount(streams[first], minlength=len(waiting))
        return streams[first], starts[first]
