"""Progress of an evaluation: episodes done, success so far, time left."""

import time
from collections.abc import Callable
from typing import Any

from dreamer_exp.envs.episode import SUCCESS, EpisodeResult
from dreamer_exp.formatting import clock


class EpisodeProgress:
    """Line of text about an evaluation, shown at its beginning, after each episode, and while one is waited for.

    The time left follows from the time between the first end and the last one: before the first, processes start and
    Robot SF compiles its code.

    Args:
        what: is evaluated: "evaluating the policy".
        total: number of episodes.
        show: shows the line.
        done: episodes that ended earlier; the time left does not count them.
        shows_success: show the share of successes; False for episodes that were chosen by their outcomes.
    """

    def __init__(
        self,
        what: str,
        total: int,
        show: Callable[[str], None],
        done: list[EpisodeResult] | None = None,
        shows_success: bool = True,
    ) -> None:
        self._what, self._total, self._show, self._shows_success = what, total, show, shows_success
        self._results = list(done or [])
        self._earlier = len(self._results)
        self._started = self._first_end = self._last_end = time.monotonic()
        show(self.line())

    def __call__(self, finished: Any) -> None:
        """Count an episode (`finished.result`) and show the line."""
        self.count(finished.result)

    def count(self, result: EpisodeResult) -> None:
        """Count an episode and show the line."""
        self._last_end = time.monotonic()
        if len(self._results) == self._earlier:
            self._first_end = self._last_end
        self._results.append(result)
        self._show(self.line())

    def wait(self) -> None:
        """Show the line with the time so far, if no episode has ended yet."""
        if len(self._results) == self._earlier:
            self._show(f"{self.line()}, {clock(time.monotonic() - self._started)} so far")

    def line(self) -> str:
        """Return text such as "evaluating the policy: 37/100 episodes, success 81%, eta 0:12"."""
        done = len(self._results)
        parts = [f"{done}/{self._total} episodes"]
        with_outcome = [result.outcome == SUCCESS for result in self._results if result.outcome is not None]
        if with_outcome and self._shows_success:
            parts.append(f"success {sum(with_outcome) / len(with_outcome):.0%}")
        if (intervals := done - self._earlier - 1) > 0:
            parts.append(f"eta {clock((self._last_end - self._first_end) / intervals * (self._total - done))}")
        return f"{self._what}: {', '.join(parts)}"
