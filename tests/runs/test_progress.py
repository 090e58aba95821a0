"""What a user sees."""

import io

from rich.console import Console

from dreamer_exp.dreamer.algorithm import Iteration
from dreamer_exp.runs.metrics import Counters, make_row
from dreamer_exp.runs.progress import Progress, clock


def row() -> dict[str, object]:
    counters = Counters()
    iteration = Iteration(env_steps=16)
    counters.add(iteration)
    return make_row(counters, iteration, {}, 32, {"steps": 16, "bytes": 1})


def lines(shown: bool, terminal: bool = False) -> str:
    file = io.StringIO()
    with Progress(Console(file=file, width=100, force_terminal=terminal), 10, shown) as progress:
        progress.say("building")
        progress.show(row())
    return file.getvalue()


def test_without_a_terminal_each_iteration_is_one_plain_line() -> None:
    assert len(lines(shown=True).splitlines()) == 2
    assert "\x1b" not in lines(shown=True)


def test_what_is_not_there_yet_is_a_dash() -> None:
    assert "success -" in lines(shown=True)


def test_a_quiet_run_says_nothing() -> None:
    assert lines(shown=False) == ""


def test_the_live_panel_fits_a_hundred_columns() -> None:
    text = lines(shown=True, terminal=True)
    assert "steps" in text
    assert "…" not in text


def test_seconds_are_told_as_a_clock() -> None:
    assert [clock(5), clock(65), clock(3661)] == ["0:05", "1:05", "1:01:01"]
