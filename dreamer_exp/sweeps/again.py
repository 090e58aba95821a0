"""`sweep.resume=<sweep's directory>`: the same sweep once more, in which jobs that are finished stay as they are."""

from dataclasses import asdict
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import quoted
from dreamer_exp.runs.status import is_alive
from dreamer_exp.sweeps.records import SweepRecord

KEY = "sweep.resume="


def words(typed: list[str]) -> list[str]:
    """The command line of the sweep that is gone on with, further words at its end; any other stays as it is.

    Raises:
        UserError: no sweep there, one that is at work, or one whose jobs were chosen on the way.
    """
    asked = [word for word in typed if word.startswith(KEY) and word != f"{KEY}null"]
    if not asked:
        return typed
    root = Path(asked[-1].removeprefix(KEY)).absolute()
    record = SweepRecord.read(root)
    if is_alive(asdict(record)):
        raise UserError(f"{KEY}{root}: that sweep is at work, as process {record.pid}; stop it first.")
    if not record.names:
        raise UserError(f"{KEY}{root}: its sweeper chose its jobs on the way; go on with that sweeper's own storage.")
    further = [word for word in typed if word not in asked and word not in ("-m", "--multirun")]
    return [*record.words, *further, f"hydra.sweep.dir={quoted(root)}"]


def refuse_second_sweep(root: Path) -> None:
    """Raises UserError for a directory that holds a sweep already: their jobs would mix."""
    if (root / "sweep.json").exists():
        raise UserError(f"hydra.sweep.dir={root} already holds a sweep: name another, or go on with it: {KEY}{root}")
