"""The live table of a sweep's jobs: in a terminal as they are now; elsewhere a line when a job changes its state."""

import threading
from collections import Counter
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dreamer_exp.formatting import clock
from dreamer_exp.palette import STATE_STYLES
from dreamer_exp.sweeps.records import FINISHED, RUNNING, WAITING, short
from dreamer_exp.sweeps.view import STATES, JobView

EVERY_S = 1.0


class JobTable:
    """Shows the jobs from a thread of its own for as long as it is entered."""

    def __init__(self, console: Console, look: Callable[[], list[JobView]], slots: int | None) -> None:
        self._console, self._look, self._slots = console, look, slots
        self._over = threading.Event()
        self._told: dict[int, str] = {}
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "JobTable":
        if self._live:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        if self._live:
            self._live.stop()

    def _show(self) -> None:
        while not self._over.wait(EVERY_S):
            self._show_once()
        self._show_once()

    def _show_once(self) -> None:
        views = self._look()
        if self._live:
            self._live.update(picture(views, self._slots, self._console.height - 4), refresh=True)
            return
        for view in views:
            if view.state != WAITING and self._told.get(view.num) != view.state:
                self._told[view.num] = view.state
                self._console.print(line(view), soft_wrap=True, markup=False, highlight=False)


def picture(views: list[JobView], slots: int | None, height: int) -> RenderableType:
    """As many jobs as fit, those that run or failed first; and how many there are of each state."""
    room = max(3, height - 5)
    chosen = sorted(views, key=lambda view: (STATES.index(view.state), view.num))[:room]
    table = job_table(sorted(chosen, key=lambda view: view.num))
    hidden = len(views) - len(chosen)
    return Group(table, Text(counts(views, slots) + (f"; {hidden} more are not shown" if hidden else "")))


def job_table(views: list[JobView], over: bool = False) -> Table:
    """One line a job; `over`: nothing is left to do."""
    table = Table(expand=False)
    table.add_column("job", justify="right")
    table.add_column("overrides", no_wrap=not over, overflow="fold" if over else "ellipsis")  # live: a line a job
    table.add_column("state", no_wrap=True)
    for heading in ("env steps", "return", "success", "time", *(() if over else ("left",))):
        table.add_column(heading, justify="right", no_wrap=True)
    for view in views:
        table.add_row(
            str(view.num),
            Text(short(view.name)),
            Text(view.state, style=STATE_STYLES[view.state]),
            "" if view.env_steps is None else f"{view.env_steps:,}",
            "" if view.episode_return is None else f"{view.episode_return:.2f}",
            "" if view.success_rate is None else f"{view.success_rate:.2f}",
            "" if view.wall_time_s is None else clock(view.wall_time_s),
            *(() if over else ("" if view.seconds_left is None else clock(view.seconds_left),)),
        )
    return table


def line(view: JobView) -> str:
    """One job's change of state."""
    figures = "" if view.env_steps is None else f", {view.env_steps:,} env steps"
    return f"job {view.num} ({short(view.name)}): {view.state}{figures}{f': {view.error}' if view.error else ''}"


def counts(views: list[JobView], slots: int | None) -> str:
    """How many jobs are in which state, and about how long it will take."""
    found = Counter(view.state for view in views)
    text = ", ".join(f"{found[state]} {state}" for state in STATES if found[state])
    left = seconds_left(views, slots)
    return text if left is None else f"{text}; about {clock(left)} left"


def seconds_left(views: list[JobView], slots: int | None) -> float | None:
    """For the whole sweep: what runs to its end, and those that wait at the mean pace of the others, in all slots."""
    running = [view for view in views if view.state == RUNNING]
    told = [view.seconds_left for view in running if view.seconds_left is not None]
    if not told:
        return None
    whole = [view.wall_time_s for view in views if view.state == FINISHED and view.wall_time_s] or [
        (view.wall_time_s or 0.0) + view.seconds_left for view in running if view.seconds_left is not None
    ]
    waiting = sum(view.state == WAITING for view in views)
    work = sum(told) / len(told) * len(running) + waiting * sum(whole) / len(whole)
    return max(*told, work / (slots or max(1, len(running))))
