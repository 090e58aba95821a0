"""The command `dreamer-exp runs`: lists runs, and uploads their offline W&B data."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.listing import RunEntry, list_runs
from dreamer_exp.rundir.listing_table import runs_table
from dreamer_exp.tracking.wandb.sync import sync

DEFAULTS = ("outputs", "multirun")
USAGE = """\
dreamer-exp runs [DIR ...] [--json]    list runs, newest first
dreamer-exp runs sync [DIR ...]        upload offline W&B runs

DIR is a run or a folder with runs up to three levels below it; by default outputs and multirun.
--json prints the list for scripts. sync skips running runs and uploaded data, retries failed
uploads, and exits with code 1 if one failed. It needs `wandb login`, or WANDB_API_KEY (and
WANDB_BASE_URL).
"""


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE, needs_words=False)
def run(words: list[str]) -> int:
    """List or upload runs as the words ask; return the exit code."""
    console = Console(highlight=False)
    if words[:1] == ["sync"]:
        return sync(find(words[1:]), console)
    runs = find([word for word in words if word != "--json"])
    if "--json" in words:
        print(json.dumps([entry.to_dict() for entry in runs], indent=2))
    else:
        show(runs, console)
    return 0


def find(words: list[str]) -> list[RunEntry]:
    """Return the runs below the folders named.

    Raises:
        UserError: an unknown flag, or no such folder.
    """
    for word in words:
        if word.startswith("-"):
            raise UserError(f"{word}: the only flag is --json, for the list; see dreamer-exp runs --help.")
        if not Path(word).is_dir():
            raise UserError(f"{word} is not a folder: name a run, or a folder with runs below it, as outputs.")
    return list_runs([Path(word) for word in words or DEFAULTS])


def show(runs: list[RunEntry], console: Console) -> None:
    """Print the table of runs, and below it what is broken."""
    if not runs:
        console.print("No runs here: name a folder, or change to the folder that holds outputs/.")
        return
    console.print(runs_table(runs, datetime.now(UTC), console.width), soft_wrap=True)
    for entry in runs:
        link = [f"a link to {entry.link_to}"] if entry.link_to else []
        for line in [*link, *entry.faults, *(f"W&B: {error}" for error in entry.offline.failures.values())]:
            console.print(f"{entry.name}: {line}", soft_wrap=True, markup=False)
