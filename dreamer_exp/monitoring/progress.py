"""Progress in a terminal: live. Elsewhere: plain lines, at most one in LINES_EVERY_S seconds."""

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

from dreamer_exp.formatting import clock, gibibytes, number

LINES_EVERY_S = 10.0


class Pace:
    """Clock that is due at most once in LINES_EVERY_S seconds."""

    def __init__(self) -> None:
        self._next = -float("inf")  # monotonic seconds

    def __call__(self) -> bool:
        """Return whether a line is due; if so, the next one is due LINES_EVERY_S later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LINES_EVERY_S
        return True


class LiveLine:
    """One line of a command, used as a context manager: with a spinner in a terminal, paced plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console, self._pace = console, Pace()
        self._status = console.status("") if console.is_terminal else None

    def __enter__(self) -> "LiveLine":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status:
            self._status.stop()

    def show(self, text: str) -> None:
        """Show the text in the place of the last one."""
        if self._status:
            self._status.update(escape(text))
        elif self._pace():
            self._console.print(text, soft_wrap=True, markup=False)


class Progress:
    """Display of a run's rows, used as a context manager.

    Args:
        console: where to print.
        train_iterations: iterations of the complete run.
        shown: False prints nothing.
        max_minutes: of the complete run; None: no limit.
    """

    def __init__(self, console: Console, train_iterations: int, shown: bool, max_minutes: float | None = None) -> None:
        self._console = console
        self._total = train_iterations
        self._max_s = None if max_minutes is None else 60 * max_minutes
        self._shown = shown
        self._iteration_s: float | None = None  # moving average without evaluations and start-up
        self._pace = Pace()
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._shown and self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show_status(self, text: str) -> None:
        """Show what the run does between iterations."""
        if not self._shown:
            return
        if self._live:
            self._live.update(Spinner("dots", text=text))
        else:
            self._console.print(text, soft_wrap=True)

    def show_progress(self, text: str) -> None:
        """Show how far the run is in something that takes long."""
        if self._live or (self._shown and self._pace()):
            self.show_status(text)

    def show(self, row: dict[str, Any], prefill_env_steps: int = 0, meanwhile: str | None = None) -> None:
        """Show the row of a finished iteration; the training ratio leaves the steps of the prefill out.

        Args:
            row: of result.jsonl.
            prefill_env_steps: env steps before the first update.
            meanwhile: what else the run does at the same time.
        """
        if not self._shown:
            return
        figures = describe(row, self._total, self._seconds_left(row), prefill_env_steps)
        if self._live:
            self._live.update(self._panel(figures, row["iteration"], meanwhile))
        elif self._pace():
            words = [f"{name} {value}" for name, value in figures.items()] + ([f"({meanwhile})"] if meanwhile else [])
            self._console.print("  ".join(words), soft_wrap=True)

    def _seconds_left(self, row: dict[str, Any]) -> float:
        taken = row["time/sample_s"] + row["time/update_s"]
        before = taken if self._iteration_s is None else self._iteration_s
        self._iteration_s = 0.9 * before + 0.1 * taken
        left = self._iteration_s * (self._total - row["iteration"])
        if self._max_s is not None:
            left = min(left, max(0.0, self._max_s - row["time/total_s"]))
        return float(left)

    def _panel(self, figures: dict[str, str], done: int, meanwhile: str | None) -> Table:
        panel = Table.grid(padding=(0, 2))
        names = list(figures)
        half = (len(names) + 1) // 2
        for part in (names[:half], names[half:]):
            line = "  ".join(f"[dim]{name}[/dim] {figures[name]}" for name in part)
            panel.add_row(line)
        panel.add_row(ProgressBar(total=self._total, completed=done, width=min(80, self._console.width - 2)))
        if meanwhile:
            panel.add_row(escape(meanwhile))
        return panel


def describe(
    row: dict[str, Any], train_iterations: int, seconds_left: float, prefill_env_steps: int = 0
) -> dict[str, str]:
    """Return the values of a progress line as text, with a dash for what is missing."""
    owing = row["env_steps"] - prefill_env_steps
    loss = "wm_loss" if "loss/world_model" in row else "loss"
    ratio = row["training_ratio_actual"] * row["env_steps"] / owing if owing else None
    return {
        "it": f"{row['iteration']}/{train_iterations}",
        "steps": f"{row['env_steps']:,}",
        "updates": f"{row['updates']:,}",
        "ratio": number(ratio, ".1f"),
        "episodes": f"{row['episodes_total']:,}",
        "return": number(row["episode_return_window"], ".2f"),
        "success": number(row["success_rate_window"], ".0%"),
        loss: number(row.get("loss/world_model", row.get("loss/total")), ".3g"),
        "upd/s": number(row["rate/updates_per_s"], ".2f"),
        "rss": gibibytes(row["memory/rss_bytes"]),
        "eta": clock(seconds_left),
    }
