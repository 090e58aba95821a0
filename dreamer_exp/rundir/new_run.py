"""The directory of a run that has not begun: refusing one that is occupied, removing the traces of a refused run."""

import shutil
from pathlib import Path

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.layout import RunDirectory


def refuse_second_run(root: Path) -> None:
    """Refuse a directory that already holds a run, whose rows and checkpoints would mix with the new ones.

    Raises:
        UserError: There is a status.json.
    """
    if RunDirectory(root).status.exists():
        raise UserError(f"hydra.run.dir={root} already holds a run: name another directory, or move that one away.")


def remove_traces(root: Path) -> None:
    """Remove .hydra/ and the lock of a run that did not begin; keep a directory with other content."""
    shutil.rmtree(root / ".hydra", ignore_errors=True)
    (root / lock.NAME).unlink(missing_ok=True)
    remove_if_empty(root)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder without content."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
