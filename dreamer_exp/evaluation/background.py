"""Evaluations in a thread, one after the other, while the main thread trains."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from ray.exceptions import RayError

from dreamer_exp.config.errors import first_line
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.dispatch import EvaluationFailed
from dreamer_exp.evaluation.rollout import Stopped

END_S = 5.0  # longest wait for the end of an evaluation that is dropped, whose env runner may not answer

Stop = Callable[[], bool]


@dataclass(eq=False)
class BackgroundEvaluation:
    """An evaluation that has not been recorded yet.

    Attributes:
        policy: name of the algorithm or baseline.
        kind: TRAINED or BASELINE.
        env_steps: steps that the policy was trained on.
        updates: updates that trained it.
        checkpoint: holds the policy; None if there is none.
        progress: the latest line about it.
        results: of its episodes.
    """

    policy: str
    kind: str
    env_steps: int
    updates: int
    checkpoint: Path | None
    progress: str
    results: Future[list[EpisodeResult]] = field(init=False)

    def is_complete(self) -> bool:
        """Return whether all its episodes have ended."""
        return self.results.done() and not self.results.cancelled() and self.results.exception() is None

    def failure(self) -> str | None:
        """Return the error that ended it, in one line; None without one, after a stop, and if its workers have died."""
        if not self.results.done() or self.results.cancelled():
            return None
        error = self.results.exception()
        if error is None or isinstance(error, (Stopped, EvaluationFailed, RayError)):
            return None
        return f"{type(error).__name__}: {first_line(error)}"

    def show(self, line: str) -> None:
        """Keep the latest line of progress."""
        self.progress = line


class BackgroundEvaluations:
    """Queue of a run's evaluations; its thread waits for the workers and computes nothing."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "evaluation")
        self.queue: deque[BackgroundEvaluation] = deque()  # those that were not taken, oldest first
        self._dropped = Event()

    def start(self, evaluation: BackgroundEvaluation, run: Callable[[Stop], list[EpisodeResult]], stop: Stop) -> None:
        """Run an evaluation after those that wait.

        Args:
            evaluation: the description of it.
            run: drives its episodes until its argument returns True.
            stop: asks to stop.
        """
        evaluation.results = self._executor.submit(run, lambda: stop() or self._dropped.is_set())
        self.queue.append(evaluation)

    def take_ended(self) -> Iterator[BackgroundEvaluation]:
        """Remove and return the evaluations that have ended, oldest first."""
        while self.queue and self.queue[0].results.done():
            yield self.queue.popleft()

    def take_all(self) -> list[BackgroundEvaluation]:
        """End the evaluations, and remove and return them."""
        self._dropped.set()
        taken = list(self.queue)
        self.queue.clear()
        for evaluation in taken:
            evaluation.results.cancel()  # those that have not begun
        wait([evaluation.results for evaluation in taken], END_S)
        return taken
