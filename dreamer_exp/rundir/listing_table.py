"""The list of runs as a table in the terminal."""

from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from dreamer_exp.formatting import MISSING, age, count, file_size
from dreamer_exp.palette import STATE_STYLES
from dreamer_exp.rundir.listing import RunEntry

CAPTION = """\
success: in the last evaluation, or in the last training episodes
dead: recorded as running, but its process has ended, or another host wrote nothing for 6 h"""


def runs_table(runs: list[RunEntry], now: datetime) -> Table:
    """Return the runs, one a line, below the folder they share; 100 columns suffice, as long names are folded."""
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
            Text(run.state, STATE_STYLES.get(run.state, "")),
            age((now - run.started).total_seconds()),
            count(run.env_steps),
            str(run.success or MISSING),
            file_size(run.bytes),
            str(run.offline),
        )
    return table
