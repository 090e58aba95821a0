"""The list of runs as a table in the terminal, with ages and sizes as one says them."""

from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from dreamer_exp.rundir.listing import RunEntry

COLOURS = {"running": "cyan", "finished": "green", "failed": "red", "dead": "red", "unknown": "red"}
CAPTION = """\
success: of the last evaluation's episodes, or of the last ones in training
dead: says running, but its process is gone, or on another host wrote nothing for 6 h"""


def table_of(runs: list[RunEntry], now: datetime) -> Table:
    """The runs, one a line, under the folder they share; fits 100 columns, where the longest names are folded."""
    table = Table(
        caption=CAPTION,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    for heading in ("age", "env steps", "success", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("W&B")
    shared = ""
    for run in runs:
        folder, _, name = run.name.rpartition("/")
        if folder != shared:
            table.add_row(Text(f"{folder}/", "dim"))
            shared = folder
        table.add_row(
            Text(f"  {name}" if folder else name),
            Text(run.state, COLOURS.get(run.state, "")),
            duration((now - run.started).total_seconds()),
            "-" if run.env_steps is None else f"{run.env_steps:,}",
            str(run.success or "-"),
            size(run.bytes),
            str(run.offline),
        )
    return table


def duration(seconds: float) -> str:
    """A time in its largest unit: 40 s, 3 min, 3 h, 2 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def size(count: float) -> str:
    """A number of bytes in three digits: 812 B, 1.3 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 999.5:
            return f"{count:.1f} {unit}" if count < 9.95 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
