"""Rollouts without environments, whose process can die."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished


class Mortal:
    """Rollouts of which the first `deaths` calls in all processes kill theirs.

    Args:
        folder: holds one file for each death.
        deaths: number of calls that kill.
        error: raised by every other call.
    """

    def __init__(self, folder: Path, deaths: int, error: Exception | None = None) -> None:
        self._folder, self._deaths, self._error = folder, deaths, error

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        for number in range(self._deaths):
            try:
                (self._folder / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
        if self._error is not None:
            raise self._error
        return [Finished(episode, EpisodeResult(0.0, 1)) for episode in episodes]

    def close(self) -> None:
        """Close nothing."""


class Asleep(Mortal):
    """Rollouts that never answer."""

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        time.sleep(600.0)
        return []
