"""The loop that gives an evaluation's episodes to workers, and collects their results."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished, MakeRollouts, Stopped
from dreamer_exp.evaluation.workers.base import Answer, OpenWorkers, WorkerDied, Workers, this_process

MAX_DEATHS = 2  # of workers that run the same episode

log = logging.getLogger(__name__)


class EvaluationFailed(Exception):
    """Workers died too often."""


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


def ignore(finished: Finished) -> None:
    """Do nothing with a finished episode."""


def keep_silent() -> None:
    """Do nothing while episodes run."""


OnLost = Callable[[EvaluationEpisode, str], Finished]
"""Returns what stands for an episode whose workers died MAX_DEATHS times; the text is how the last one ended."""


def run_episodes(
    make: MakeRollouts,
    episodes: Sequence[EvaluationEpisode],
    *,
    at_once: int,
    at_once_in_all: int | None = None,
    should_stop: Callable[[], bool] = never,
    on_finished: Callable[[Finished], None] = ignore,
    on_wait: Callable[[], None] = keep_silent,
    workers: OpenWorkers = this_process,
) -> list[Finished]:
    """Run the episodes and return them in their order.

    An episode depends on its seed alone, so the workers do not change the result.

    Args:
        make: builds the rollouts of each worker.
        episodes: all different.
        at_once: most episodes at once in one worker.
        at_once_in_all: most episodes at once in all workers; None for no limit.
        should_stop: called several times a second.
        on_finished: called with each episode when it ends.
        on_wait: called several times a second.
        workers: where the episodes run.

    Raises:
        Stopped: `should_stop` returned True.
        EvaluationFailed: the workers of one episode died twice, or all env runners died.
    """
    done: dict[EvaluationEpisode, Finished] = {}
    if episodes:
        limit = at_once_in_all or at_once * len(episodes)
        with workers(make, min(len(episodes), limit)) as opened:
            at_once = min(at_once, limit // len(opened.alive))
            for finished in Dispatch(opened, episodes, at_once).run(should_stop, on_wait):
                done[finished.episode] = finished
                on_finished(finished)
    return [done[episode] for episode in episodes]


class Dispatch:
    """Episodes that wait, and those that each worker runs.

    Every worker begins with an equal share, at most `at_once`; an ended episode makes room for the next.

    Args:
        workers: opened.
        episodes: all different.
        at_once: most episodes at once in one worker.
        on_lost: makes a result of an episode whose workers died twice; None ends the evaluation.
    """

    def __init__(
        self, workers: Workers, episodes: Sequence[EvaluationEpisode], at_once: int, on_lost: OnLost | None = None
    ) -> None:
        self._workers, self._on_lost = workers, on_lost
        self._waiting = deque(episodes)
        self._share = min(at_once, -(-len(episodes) // len(workers.alive)))
        self._running: dict[int, list[EvaluationEpisode]] = {worker: [] for worker in workers.alive}
        self._requested: set[int] = set()
        self._deaths: Counter[EvaluationEpisode] = Counter()

    def run(self, should_stop: Callable[[], bool], on_wait: Callable[[], None] = keep_silent) -> Iterator[Finished]:
        """Yield each episode when it ends; the arguments are those of `run_episodes`."""
        self._request_all()
        while self._requested:
            if should_stop():
                raise Stopped
            on_wait()
            for worker, answer in self._workers.wait():
                self._requested.discard(worker)
                yield from self._take(worker, answer)
            self._request_all()

    def _request_all(self) -> None:
        """Request each idle worker that has episodes, or can have."""
        for worker in self._workers.alive:
            if worker in self._requested:
                continue
            running = self._running[worker]
            new = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._share - len(running)))]
            running += new
            if running:
                self._workers.request(worker, new)
                self._requested.add(worker)

    def _take(self, worker: int, answer: Answer) -> list[Finished]:
        if isinstance(answer, WorkerDied):
            return self._take_back(worker, answer)
        if isinstance(answer, Exception):
            raise answer
        for finished in answer:
            self._running[worker].remove(finished.episode)
        return answer

    def _take_back(self, worker: int, death: WorkerDied) -> list[Finished]:
        """Give the episodes of a dead worker a second try; return the results of those that had it."""
        lost, self._running[worker] = self._running[worker], []
        self._deaths.update(lost)
        again = [episode for episode in lost if self._deaths[episode] < MAX_DEATHS]
        what = f"{death} while it ran {describe(lost)}"
        if not self._workers.alive or (again != lost and self._on_lost is None):
            raise EvaluationFailed(f"evaluation: {what}, again or with none left to try; the memory may be too small.")
        if again:
            log.warning("evaluation: %s; they run again", what)
        self._waiting.extendleft(reversed(again))
        return [self._on_lost(episode, str(death)) for episode in lost if episode not in again] if self._on_lost else []


def describe(episodes: Sequence[EvaluationEpisode]) -> str:
    """Return the seeds of some episodes."""
    seeds = [str(episode.seed) for episode in episodes]
    shown = ", ".join(seeds[:4]) + (f" and {len(seeds) - 4} more" if seeds[4:] else "")
    return f"the episodes of the seeds {shown}" if seeds[1:] else f"the episode of seed {shown}"
