"""The progress display."""

import io
import re
from typing import Any

import pytest
from rich.console import Console

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.metrics_row import make_row
from dreamer_exp.monitoring.progress import LiveLine, Progress, describe


def row(updates: int = 0, learner: dict[str, float] | None = None, algorithm: str = "dreamerv3") -> dict[str, Any]:
    counters = Counters()
    iteration = Iteration(env_steps=16, updates=updates)
    counters.add(iteration)
    spec, replay = find_spec("algorithms", algorithm), {"steps": 16, "bytes": 1}
    return make_row(counters, iteration, learner or {}, spec=spec, steps_per_update=32, replay=replay)


def lines(shown: bool, terminal: bool = False) -> str:
    file = io.StringIO()
    with Progress(Console(file=file, width=100, force_terminal=terminal), 10, shown) as progress:
        progress.show_status("building")
        progress.show(row())
    return file.getvalue()


def test_without_a_terminal_an_iteration_is_one_plain_line() -> None:
    assert len(lines(shown=True).splitlines()) == 2
    assert "\x1b" not in lines(shown=True)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the monotonic time, to be set by the test."""
    seconds = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return seconds


def test_without_a_terminal_rows_and_progress_are_printed_at_most_every_ten_seconds(now: list[float]) -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=100, force_terminal=False), 10, shown=True) as progress:
        for now[0] in (0.0, 4.0, 9.9, 10.0, 19.0, 25.0):
            progress.show(row())
            progress.show_progress("evaluating")
    assert len(file.getvalue().splitlines()) == 3


def test_a_line_of_a_command_is_paced_without_a_terminal_and_live_in_one(now: list[float]) -> None:
    shown = {}
    for terminal in (False, True):
        file = io.StringIO()
        with LiveLine(Console(file=file, width=100, force_terminal=terminal)) as line:
            for now[0] in (0.0, 4.0, 10.0):
                line.show(f"episode {now[0]:.0f}")
        shown[terminal] = file.getvalue()
    assert shown[False] == "episode 0\nepisode 10\n"
    assert "\x1b" in shown[True]


@pytest.mark.parametrize("terminal", [False, True])
def test_an_evaluation_in_the_background_is_shown_with_the_row(terminal: bool) -> None:
    file = io.StringIO()
    with Progress(Console(file=file, width=100, force_terminal=terminal), 10, shown=True) as progress:
        progress.show(row(), meanwhile="evaluating: 3/20 episodes")
    assert "evaluating: 3/20 episodes" in file.getvalue()


def test_missing_values_are_dashes() -> None:
    assert "success -" in lines(shown=True)


@pytest.mark.parametrize(
    ("algorithm", "name"), [("dreamerv3", "world_model"), ("dreamerv3_rllib", "WORLD_MODEL_L_total")]
)
def test_the_world_model_loss_of_both_learners_is_shown(algorithm: str, name: str) -> None:
    assert describe(row(2, {name: 12.3}, algorithm), 10, 0.0)["wm_loss"] == "12.3"


def test_the_training_ratio_leaves_the_prefill_out() -> None:
    filled = {**row(), "env_steps": 160, "training_ratio_actual": 51.2}

    assert describe(filled, 10, 0.0)["ratio"] == "51.2"
    assert describe(filled, 10, 0.0, prefill_env_steps=32)["ratio"] == "64.0"


def test_a_quiet_run_prints_nothing() -> None:
    assert lines(shown=False) == ""


def test_the_live_panel_fits_three_lines_of_100_columns() -> None:
    shown = lines(shown=True, terminal=True).split("building")[-1]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert len([line for line in plain.splitlines() if line.strip()]) == 3


def test_the_remaining_time_excludes_start_up_and_evaluations() -> None:
    progress = Progress(Console(file=io.StringIO()), 11, shown=True)
    assert progress._seconds_left({"iteration": 1, "time/sample_s": 1.0, "time/update_s": 2.0}) == 30.0


def test_the_remaining_time_is_at_most_what_max_minutes_leaves() -> None:
    progress = Progress(Console(file=io.StringIO()), 100, shown=True, max_minutes=1.0)
    taken = {"time/sample_s": 1.0, "time/update_s": 1.0, "iteration": 10}
    assert progress._seconds_left({**taken, "time/total_s": 20.0}) == 40.0
    assert progress._seconds_left({**taken, "time/total_s": 70.0}) == 0.0
