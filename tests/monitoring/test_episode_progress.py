"""The line about an evaluation."""

from typing import NamedTuple

import pytest

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.monitoring.episode_progress import EpisodeProgress


class Ended(NamedTuple):
    result: EpisodeResult


def ended(outcome: str | None) -> Ended:
    return Ended(EpisodeResult(0.0, 1, outcome=outcome))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the monotonic time, to be set by the test."""
    seconds = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return seconds


def test_the_line_counts_episodes_and_successes_and_estimates_the_rest(now: list[float]) -> None:
    lines: list[str] = []
    progress = EpisodeProgress("the policy", 4, lines.append)
    for outcome in ("success", "timeout", "timeout"):
        now[0] += 5.0
        progress(ended(outcome))
    assert lines == [
        "the policy: 0/4 episodes",
        "the policy: 1/4 episodes, success 100%",
        "the policy: 2/4 episodes, success 50%, eta 0:10",
        "the policy: 3/4 episodes, success 33%, eta 0:05",
    ]


def test_episodes_that_were_chosen_by_their_outcomes_have_no_share_of_successes(now: list[float]) -> None:
    lines: list[str] = []
    progress = EpisodeProgress("filming", 4, lines.append, shows_success=False)
    for outcome in ("timeout", "success"):
        now[0] += 5.0
        progress(ended(outcome))
    assert lines == ["filming: 0/4 episodes", "filming: 1/4 episodes", "filming: 2/4 episodes, eta 0:10"]


def test_the_estimate_leaves_out_the_time_before_the_first_end(now: list[float]) -> None:
    lines: list[str] = []
    progress = EpisodeProgress("the policy", 4, lines.append)
    for seconds in (170.0, 5.0):
        now[0] += seconds
        progress(ended("success"))
    assert lines[-1] == "the policy: 2/4 episodes, success 100%, eta 0:10"


def test_before_the_first_end_the_line_shows_the_time_so_far(now: list[float]) -> None:
    lines: list[str] = []
    progress = EpisodeProgress("the policy", 4, lines.append)
    now[0] += 40.0
    progress.wait()
    assert lines[1:] == ["the policy: 0/4 episodes, 0:40 so far"]
    progress(ended("success"))
    progress.wait()
    assert len(lines) == 3


def test_episodes_that_ended_earlier_count_but_not_in_the_estimate(now: list[float]) -> None:
    lines: list[str] = []
    progress = EpisodeProgress("the policy", 5, lines.append, [ended("success").result] * 2)
    for _ in range(2):
        now[0] += 5.0
        progress(ended("success"))
    assert lines == [
        "the policy: 2/5 episodes, success 100%",
        "the policy: 3/5 episodes, success 100%",
        "the policy: 4/5 episodes, success 100%, eta 0:05",
    ]


def test_without_outcomes_there_is_no_success(now: list[float]) -> None:
    lines: list[str] = []
    EpisodeProgress("the policy", 2, lines.append)(ended(None))
    assert lines[-1] == "the policy: 1/2 episodes"
