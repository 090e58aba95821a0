"""`python -m dreamer_exp.runs [DIR ...] [--json]` lists runs; `... sync [DIR ...]` uploads their offline W&B data."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.listing import RunEntry, list_runs
from dreamer_exp.rundir.listing_table import runs_table
from dreamer_exp.tracking.wandb.sync import sync

DEFAULTS = ("outputs", "multirun")
USAGE = """\
python -m dreamer_exp.runs [DIR ...] [--json]    lists runs, newest first
python -m dreamer_exp.runs sync [DIR ...]        uploads offline W&B runs

DIR is a run or a folder with runs up to three folders below it; without one: outputs and multirun.
--json prints the list for scripts. sync leaves out what was uploaded before and runs still at work, tries again what
failed, and exits with 1 if anything did; it needs `wandb login`, or WANDB_API_KEY (and WANDB_BASE_URL).
"""


def find(words: list[str]) -> list[RunEntry]:
    """The runs below the folders named.

    Raises:
        UserError: an unknown flag, or no such folder.
    """
    for word in words:
        if word.startswith("-"):
            raise UserError(f"{word}: the only flag is --json, for the list; see python -m dreamer_exp.runs --help.")
        if not Path(word).is_dir():
            raise UserError(f"{word} is no folder: name a run, or a folder with runs below it, as outputs.")
    return list_runs([Path(word) for word in words or DEFAULTS])


def show(runs: list[RunEntry], console: Console) -> None:
    """The table, and below it what is broken."""
    if not runs:
        console.print("No runs here: name a folder, or go to where outputs/ lies.")
        return
    console.print(runs_table(runs, datetime.now(UTC)))
    for run in runs:
        for line in [*run.faults, *(f"W&B: {error}" for error in run.offline.failures.values())]:
            console.print(f"{run.name}: {line}", soft_wrap=True, markup=False)


def main() -> int:
    """The command line; returns the exit code."""
    words = sys.argv[1:]
    if {"--help", "-h"} & set(words):
        print(USAGE)
        return 0
    console = Console(highlight=False)
    try:
        if words[:1] == ["sync"]:
            return sync(find(words[1:]), console)
        runs = find([word for word in words if word != "--json"])
        if "--json" in words:
            print(json.dumps([run.to_dict() for run in runs], indent=2))
        else:
            show(runs, console)
    except UserError as error:
        print(f"dreamer_exp: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"dreamer_exp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
