"""The list of runs as a table in the terminal."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.text import Text

from dreamer_exp.formatting import MISSING, age, count, file_size
from dreamer_exp.palette import STATE_STYLES
from dreamer_exp.rundir.listing import RunEntry

HEADINGS = ("state", "age", "env steps", "success", "size", "W&B")
LEFT_ALIGNED = ("state", "W&B")
INDENT = "  "
CAPTION = """\
success: in the last evaluation, or in the last training episodes
dead: recorded as running, but its process has ended, or another host wrote nothing for 6 h"""


def runs_table(runs: Sequence[RunEntry], now: datetime, width: int) -> Text:
    """Return the runs below the folders they share, to be printed without wrapping.

    A run takes one line. Where `width` columns are too few for the longest name, a name has a line of its own, so that
    it can be copied.
    """
    return Text("\n").join([*_lines(runs, now, width), Text(CAPTION, "dim italic")])


def _lines(runs: Sequence[RunEntry], now: datetime, width: int) -> Iterator[Text]:
    names = [_name(run) for run in runs]
    rows = [_cells(run, now) for run in runs]
    widths = [max(map(cell_len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    longest = max(map(cell_len, names))
    fits = longest + sum(widths) + len(widths) <= width
    first = longest if fits else len(INDENT)
    heading = _padded("run" if fits else "", first, False) + _row(HEADINGS, widths)
    yield Text(heading, "bold")
    yield Text("─" * cell_len(heading), "dim")
    shared = ""
    for run, name, row in zip(runs, names, rows, strict=True):
        folder = run.name.rpartition("/")[0]
        if folder and folder != shared:
            yield Text(f"{folder}/", "dim")
        shared = folder
        if not fits:
            yield Text(name)
        line = Text(_padded(name if fits else "", first, False) + _row(row, widths))
        line.stylize(STATE_STYLES.get(run.state, ""), first + 1, first + 1 + len(run.state))
        yield line


def _name(run: RunEntry) -> str:
    folder, _, name = run.name.rpartition("/")
    return f"{INDENT}{name}" if folder else name


def _cells(run: RunEntry, now: datetime) -> tuple[str, ...]:
    """Return a run's cells, in the order of HEADINGS."""
    return (
        run.state,
        age((now - run.started).total_seconds()),
        count(run.env_steps),
        str(run.success or MISSING),
        file_size(run.bytes),
        str(run.offline),
    )


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = zip(HEADINGS, cells, widths, strict=True)
    return "".join(f" {_padded(cell, width, heading not in LEFT_ALIGNED)}" for heading, cell, width in columns).rstrip()


def _padded(text: str, width: int, to_the_right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if to_the_right else text + space
