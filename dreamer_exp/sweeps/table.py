"""The live table of a sweep's jobs in a terminal; elsewhere a line for each change of a job's state."""

import threading
from collections import Counter
from collections.abc import Callable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dreamer_exp.formatting import clock
from dreamer_exp.palette import STATE_STYLES
from dreamer_exp.sweeps.records import FINISHED, RUNNING, WAITING, short
from dreamer_exp.sweeps.view import STATES, JobView

EVERY_S = 1.0
CAPTION = "return, success: mean of the last 100 training episodes; eval.: of the last evaluation on fixed seeds"


class JobTable:
    """Display of the jobs, updated by a thread within a `with` block.

    Args:
        console: where to print.
        read: reads the present state of the jobs.
        slots: jobs that run in parallel; None if that is unknown.
    """

    def __init__(self, console: Console, read: Callable[[], list[JobView]], slots: int | None) -> None:
        self._console, self._read, self._slots = console, read, slots
        self._ended = threading.Event()
        self._printed: set[tuple[int, str]] = set()  # numbers and states
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "JobTable":
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._live:
            self._live.stop()

    def _show(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._show_once()
        self._show_once()

    def _show_once(self) -> None:
        views = self._read()
        if self._live:
            self._live.update(live_table(views, self._slots, self._console.height - 4), refresh=True)
            return
        for view in views:
            if view.shown not in (WAITING, RUNNING) and (view.num, view.shown) not in self._printed:
                self._printed.add((view.num, view.shown))
                self._console.print(line(view), soft_wrap=True, markup=False, highlight=False)


def live_table(views: list[JobView], slots: int | None, height: int) -> RenderableType:
    """Return the table of as many jobs as fit, running and failed ones first, and the number in each state."""
    room = max(3, height - 5)
    chosen = sorted(views, key=lambda view: (STATES.index(view.shown), view.num))[:room]
    table = job_table(sorted(chosen, key=lambda view: view.num))
    hidden = len(views) - len(chosen)
    return Group(table, Text(counts(views, slots) + (f"; {hidden} more are not shown" if hidden else "")))


def job_table(views: list[JobView], ended: bool = False) -> Table:
    """Return a table with one line for each job; an ended sweep shows no remaining time."""
    table = Table(
        caption=CAPTION,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("job", justify="right")
    table.add_column("overrides", no_wrap=not ended, overflow="fold" if ended else "ellipsis")  # live: a line each
    table.add_column("state", no_wrap=True)
    numbers = ("env steps", "return", "success", "eval.\nreturn", "eval.\nsuccess", "wall\ntime")
    for heading in (*numbers, *(() if ended else ("left",))):
        table.add_column(heading, justify="right", no_wrap=True)
    for view in views:
        table.add_row(
            str(view.num),
            Text(short(view.name)),
            Text(view.shown, style=STATE_STYLES[view.shown]),
            "" if view.env_steps is None else f"{view.env_steps:,}",
            *("" if value is None else f"{value:.2f}" for value in _results(view)),
            "" if view.wall_time_s is None else clock(view.wall_time_s),
            *(() if ended else ("" if view.seconds_left is None else clock(view.seconds_left),)),
        )
    return table


def _results(view: JobView) -> tuple[float | None, ...]:
    return view.episode_return, view.success_rate, view.evaluated_return, view.evaluated_success


def line(view: JobView) -> str:
    """Return the line about a job's change of state."""
    steps = "" if view.env_steps is None else f", {view.env_steps:,} env steps"
    return f"job {view.num} ({short(view.name)}): {view.shown}{steps}{f': {view.error}' if view.error else ''}"


def counts(views: list[JobView], slots: int | None) -> str:
    """Return the number of jobs in each state, and the remaining time if it is known."""
    found = Counter(view.shown for view in views)
    text = ", ".join(f"{found[state]} {state}" for state in STATES if found[state])
    left = seconds_left(views, slots)
    return text if left is None else f"{text}; about {clock(left)} left"


def seconds_left(views: list[JobView], slots: int | None) -> float | None:
    """Return the remaining time of the sweep; waiting jobs are assumed to take as long as the others on average."""
    running = [view for view in views if view.state == RUNNING]
    remaining = [view.seconds_left for view in running if view.seconds_left is not None]
    if not remaining:
        return None
    durations = [view.wall_time_s for view in views if view.state == FINISHED and view.wall_time_s] or [
        (view.wall_time_s or 0.0) + view.seconds_left for view in running if view.seconds_left is not None
    ]
    waiting = sum(view.state == WAITING for view in views)
    work = sum(remaining) / len(remaining) * len(running) + waiting * sum(durations) / len(durations)
    return max(*remaining, work / (slots or max(1, len(running))))
