"""`dreamer-exp runs sync`: upload offline W&B data run by run; a failure is recorded and retried at the next sync."""

import sys
from collections.abc import Sequence

from rich.console import Console

from dreamer_exp.rundir import lock
from dreamer_exp.rundir.listing import RunEntry
from dreamer_exp.rundir.wandb_folders import read_offline_folders, record_failure
from dreamer_exp.tracking.wandb.sync_folder import Unreachable, sync_folder


def sync(runs: Sequence[RunEntry], console: Console) -> int:
    """Upload what is unsynced, the oldest run first.

    Returns:
        The exit code: 1 if anything failed, else 0.

    Raises:
        UserError: W&B has no valid login here, or another process uploads one of these runs.
    """
    unsynced = [run for run in sorted(runs, key=lambda run: run.started) if run.offline.unsynced]
    running = [run.name for run in unsynced if run.state == "running" or _is_training(run)]
    waiting = [run for run in unsynced if run.name not in running]
    failed: list[str] = []
    for run in waiting:
        try:
            with lock.held(run.root, lock.UPLOADS, f"runs sync: {run.name}"):
                failed += [] if _sync_run(run, console) else [run.name]
        except Unreachable as error:
            hint = "sync again when there is a network; WANDB_BASE_URL names a server of your own."
            print(f"dreamer_exp: {run.name}: W&B's server doesn't answer ({error}): {hint}", file=sys.stderr)
            return 1
    synced = len(waiting) - len(failed)
    _print(console, f"Runs synced: {synced} of {len(unsynced)}" if unsynced else "Nothing to sync")
    if running:
        _print(console, f"Still running, left for later: {', '.join(running)}")
    if failed:
        _print(console, f"Failed, to be retried at the next sync: {', '.join(failed)}")
    return 1 if failed else 0


def _is_training(run: RunEntry) -> bool:
    """Return whether a process other than an upload has the lock of the run's directory."""
    holder = lock.holder_of(run.root) if lock.is_held(run.root) else None
    return holder is not None and holder.activity != lock.UPLOADS


def _sync_run(run: RunEntry, console: Console) -> bool:
    """Upload what is unsynced of a run by now, oldest first; return whether all succeeded."""
    failed = False
    for folder in read_offline_folders(run.root).unsynced:
        _print(console, f"{run.name}: {folder.name}")
        try:
            outcome = sync_folder(folder)
        except Unreachable as error:
            record_failure(run.root, folder.name, str(error))
            raise
        record_failure(run.root, folder.name, outcome.error)
        if outcome.error:
            _print(console, f"  failed: {outcome.error}")
            failed = True
        elif outcome.is_cut_off:
            _print(console, "  uploaded, except the last record, which was cut off when the run was killed")
    return not failed


def _print(console: Console, line: str) -> None:
    """Print a line without wrapping it."""
    console.print(line, soft_wrap=True, markup=False)
