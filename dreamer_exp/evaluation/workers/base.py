"""The interface of workers, and the calling process as the only one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Protocol

from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished, MakeRollouts

SLICE_S = 0.25  # longest time between two looks at a request to stop


class WorkerDied(Exception):
    """A worker's process ended; the message names the worker and how it ended."""


Answer = list[Finished] | Exception
"""Episodes that ended; or WorkerDied; or the exception that an episode raised."""


class Workers(Protocol):
    """Processes that run episodes. Each takes one request at a time."""

    @property
    def alive(self) -> Sequence[int]:
        """Numbers of the workers that take requests."""

    def request(self, worker: int, episodes: Sequence[EvaluationEpisode]) -> None:
        """Let a worker begin these episodes, and advance all that it runs."""

    def wait(self) -> list[tuple[int, Answer]]:
        """Return the workers that have answered their request, with the answers; wait for SLICE_S at most."""


OpenWorkers = Callable[[MakeRollouts, int], AbstractContextManager[Workers]]
"""Starts workers for a number of episodes; the end of the block ends what they run."""


class ThisProcess:
    """The calling process as the only worker."""

    alive = (0,)

    def __init__(self, make: MakeRollouts) -> None:
        self._rollouts = make()
        self._episodes: Sequence[EvaluationEpisode] = ()

    def request(self, worker: int, episodes: Sequence[EvaluationEpisode]) -> None:
        """Keep the episodes until `wait`."""
        self._episodes = episodes

    def wait(self) -> list[tuple[int, Answer]]:
        """Advance the episodes; their exceptions are raised."""
        episodes, self._episodes = self._episodes, ()
        return [(0, self._rollouts.advance(episodes, SLICE_S))]

    def close(self) -> None:
        """Close the environments."""
        self._rollouts.close()


@contextmanager
def this_process(make: MakeRollouts, episodes: int) -> Iterator[ThisProcess]:
    """Run the episodes in the calling process."""
    with closing(ThisProcess(make)) as workers:
        yield workers
