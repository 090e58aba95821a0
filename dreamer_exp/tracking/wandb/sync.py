"""`python -m dreamer_exp.runs sync`: what is unsynced goes to W&B, run by run; what fails is kept for the next call."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.listing import RunEntry
from dreamer_exp.rundir.wandb_folders import record_failure
from dreamer_exp.rundir.reader import parse_object
from dreamer_exp.tracking.wandb.binary_file import history
from dreamer_exp.tracking.wandb.sync_folder import Unreachable, sync_folder


def sync(runs: Sequence[RunEntry], console: Console) -> int:
    """Sends what is unsynced, the oldest run first; returns the exit code: 1 if anything failed, else 0.

    Raises:
        UserError: W&B knows no login here.
    """
    unsynced = [run for run in sorted(runs, key=lambda run: run.started) if run.offline.unsynced]
    at_work = [run.name for run in unsynced if run.state == "running"]
    waiting = [run for run in unsynced if run.state != "running"]
    failed: list[str] = []
    for run in waiting:
        try:
            failed += [] if _sync_run(run, console) else [run.name]
        except Unreachable as error:
            tell = "sync again where there is a network; WANDB_BASE_URL names a server of your own."
            print(f"dreamer_exp: {run.name}: W&B's server doesn't answer ({error}): {tell}", file=sys.stderr)
            return 1
    done = len(waiting) - len(failed)
    _say(console, f"Runs synced: {done} of {len(unsynced)}" if unsynced else "Nothing to sync")
    if at_work:
        _say(console, f"Still at work, left for later: {', '.join(at_work)}")
    if failed:
        _say(console, f"Failed, tried again at the next sync: {', '.join(failed)}")
    return 1 if failed else 0


def disagreement(run: Path) -> str | None:
    """How the rows of result.jsonl and those in the run's W&B files differ; None where they agree.

    Rows count once an iteration: a run that was resumed, or went back after it diverged, logged some of them twice.
    """
    try:
        logged = {int(row["iteration"]) for file in run.glob("wandb/*run-*/*.wandb")
                  for row in history(file) if "iteration" in row}  # fmt: skip
        rows = _iterations(RunDirectory(run).result)
    except (OSError, ValueError) as error:
        return f"the rows that W&B got cannot be counted ({error})"
    if rows == logged:
        return None
    missing, more = sorted(rows - logged), len(logged - rows)
    told = f"result.jsonl has {len(rows)} rows, and W&B got {len(rows & logged)} of them"
    told += f" (the first missing one is iteration {missing[0]})" if missing else ""
    return told + (f" and {more} more" if more else "")


def _sync_run(run: RunEntry, console: Console) -> bool:
    """Sends one run's folders, oldest first; whether all of them went."""
    failed = False
    for folder in run.offline.unsynced:
        _say(console, f"{run.name}: {folder.name}")
        try:
            outcome = sync_folder(folder)
        except Unreachable as error:
            record_failure(run.root, folder.name, str(error))
            raise
        record_failure(run.root, folder.name, outcome.error)
        if outcome.error:
            _say(console, f"  failed: {outcome.error}")
            failed = True
        elif outcome.is_cut_off:
            _say(console, "  sent, but for a last record that was cut off when the run was killed")
    if not failed and (warning := disagreement(run.root)):
        _say(console, f"  warning: {warning}")
    return not failed


def _iterations(result: Path) -> set[int]:
    """Of result.jsonl's whole rows."""
    lines = result.read_bytes().splitlines() if result.exists() else []
    return {row["iteration"] for row in map(parse_object, lines) if row and isinstance(row.get("iteration"), int)}


def _say(console: Console, line: str) -> None:
    """As it is, however long."""
    console.print(line, soft_wrap=True, markup=False)
