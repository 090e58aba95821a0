"""A comparison in the terminal."""

from dataclasses import replace

import pytest
from rich.console import Console

from dreamer_exp.compare.model import ComparisonRequest
from dreamer_exp.compare.pipeline import compare
from dreamer_exp.compare.terminal import show
from tests.compare.folders import evaluation, make_run


def shown(successes: int) -> str:
    """Return what is printed about a run that began without a success."""
    run = replace(make_run("one"), evaluations=(evaluation(0, 0), evaluation(100, 2), evaluation(200, successes)))
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        show(console, compare([run], ComparisonRequest("evaluation/success_rate")))
    return captured.get()


@pytest.mark.parametrize(("successes", "has_times"), [(5, True), (0, False)], ids=["trained", "untrained"])
def test_times_to_a_level_are_shown_if_there_is_one(successes: int, has_times: bool) -> None:
    text = shown(successes)
    assert ("time to" in text) == ("reached" in text) == has_times
    assert "steps per run" in text
