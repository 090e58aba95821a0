"""The end of a run that the run itself could not report: what its parents print, record and exit with."""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from dreamer_exp.rundir.atomic import write_bytes
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.processes import Parent, killed_by
from dreamer_exp.rundir.reader import last_row, read_tree
from dreamer_exp.rundir.status import ENDED, read_status
from dreamer_exp.training.signals import FORWARDED

DIED = "ProcessDied"  # the error's type after the death of a process that the run needs


def read_facts() -> dict[str, Any]:
    """Return what the run has reported with `notify`."""
    facts: dict[str, Any] = {}
    for line in _content(Parent.facts).splitlines():
        with contextlib.suppress(ValueError):  # cut by the run's end
            facts |= json.loads(line)
    return facts


def end_unanswered(number: int, facts: dict[str, Any]) -> int:
    """Record and print the end of a run that was killed because it did not answer a signal; return its exit code."""
    name = signal.Signals(number).name
    line = f"no answer to {name}, killed: {facts.get('env', 'the environment')} or a library does not return"
    if "root" in facts:
        _write_end(Path(facts["root"]), "interrupted", line, ENDED)
        line += f" (run: {facts['root']}, as of its last checkpoint)"
    print_line(line)
    return 128 + number


def end_of(code: int, facts: dict[str, Any], is_by_ray: bool = False) -> int:
    """Return the exit code for the child's; print and record an end that it did not announce."""
    if -code in FORWARDED:  # before its handlers were in place
        return 128 - code
    root = Path(facts["root"]) if "root" in facts else None
    status = read_status(root) if root else {}
    by_itself = facts.get("ended", False) or (code > 128 and status.get("state") != "running")
    if by_itself and code == 0 and root and read_tree(RunDirectory(root).summary).get("state") != "finished":
        print_line(f"exit code 1: {RunDirectory(root).summary} does not say that the run has finished")
        return 1
    if by_itself and code >= 0:
        return code
    # if Ray has ended the process, in a call that it was in, the death may be unseen
    if death := facts.get("died") or (facts["ray_died"] if is_by_ray and code == 1 else None):
        kind, line = DIED, f"{death}; the run then ended at once and wrote no more"
    else:
        how = killed_by(code) or f"exit code {code} without the run's end"
        kind = ENDED
        line = f"{how}: {facts.get('env', 'the environment')} or a library ended the process, which wrote no more"
    where = ""
    if root:
        where = f" ({_where(root)})"
        _write_end(root, "failed", line, kind)
    print_line(f"{DIED}: {line}{where}" if kind == DIED else f"{line}{where}")
    return 1


def _write_end(root: Path, state: str, line: str, kind: str) -> None:
    """Record the end that the run could not write, and write its page if it has rows."""
    from dreamer_exp.monitoring.summary import record_missing_end  # rich, which this process else does without

    record_missing_end(root, state, line, kind)
    if last_row(RunDirectory(root).result):
        from dreamer_exp.report.page import try_write_page  # jinja2 and numpy, which this process else does without

        try_write_page(root)


def _content(file: int | None) -> bytes:
    return b"" if file is None else os.pread(file, os.fstat(file).st_size, 0)


def _where(root: Path) -> str:
    """Return a run's directory for a line; after a crash in native code, write its stack there and return the file."""
    path, stack = RunDirectory(root).error, _content(Parent.stack)
    if stack:
        with contextlib.suppress(OSError):
            write_bytes(path, stack)
            return f"traceback: {path}"
    return f"run: {root}"


def print_line(line: str) -> None:
    """Print a line of this program on stderr, if that is open."""
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        print(f"dreamer_exp: {line}", file=sys.stderr, flush=True)
