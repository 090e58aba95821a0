"""One run's directory -> Run, whatever is wrong with its files; and a sweep's job that never became a run."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from dreamer_exp.compare.files import Reader, flatten
from dreamer_exp.compare.model import Run
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.status import state_of

# what a sweep writes beside its jobs' own files: the record of the job, the experiment asked for, what was printed
JOB, REQUEST, CONSOLE = "job.json", "requested.yaml", "console.log"
MANY = 60  # runs, from which on it pays to start processes
MOST_PROCESSES = 8
LONGEST = 200  # characters of an error


def read_runs(named: Sequence[tuple[Path, str]], columns: Collection[str] | None = None) -> Iterator[Run]:
    """The runs in these directories, each as `read_run` reads it; many are read by processes, from this call on."""
    one = partial(_read_named, columns=columns)
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    if len(named) < MANY or processes == 1:
        return map(one, named)
    pool = ProcessPoolExecutor(processes)
    runs = pool.map(one, named, chunksize=8)
    pool.shutdown(wait=False)  # it ends when all are read
    return runs


def read_run(root: Path, name: str, columns: Collection[str] | None = None) -> Run:
    """The run in this directory.

    Args:
        root: its directory.
        name: what to call it.
        columns: of result.jsonl, that are kept besides the two that curves run over and the episodes; None: all.
    """
    files, reader = RunDirectory(root), Reader()
    job = reader.tree(root / JOB) if (root / JOB).exists() else {}
    if not files.experiment.exists() and not files.status.exists():
        return _never_begun(root, name, job)
    status, config = reader.tree(files.status), flatten(reader.tree(files.experiment))
    rows, names = reader.table(files.result, columns)
    evaluations = reader.rows(files.evaluation) if files.evaluation.exists() else ()  # a run may have none
    return Run(
        root=root,
        name=name,
        state=_state(status, job),
        error=_error(status) or _text(job.get("error")),
        config=_without_fingerprint(config),
        provenance=reader.tree(files.provenance),
        rows=rows,
        evaluations=tuple(_figures(row) for row in evaluations if isinstance(row.get("policy"), str)),
        faults=tuple(reader.faults),
        columns=names,
        job=job,
    )


def _never_begun(root: Path, name: str, job: dict[str, Any]) -> Run:
    """A sweep's job that waits, or broke before its run began: what it was asked to run, and its last words."""
    asked, printed = root / REQUEST, root / CONSOLE
    lines = printed.read_text(encoding="utf-8", errors="replace").split("\n") if printed.is_file() else []
    said = [line.strip() for line in lines if line.strip()]
    told = _text(job.get("state")) or ("failed" if said else "waiting")
    error = _text(job.get("error")) or (said[-1] if told == "failed" and said else None)
    return Run(
        root=root,
        name=name,
        state="not started" if told == "waiting" else told,
        error=error,
        config=_without_fingerprint(flatten(Reader().tree(asked) if asked.exists() else {})),
        provenance={},
        rows=Reader().table(Path(os.devnull), ())[0],
        evaluations=(),
        faults=("never became a run: no experiment.yaml",),
        job=job,
    )


def _read_named(named: tuple[Path, str], columns: Collection[str] | None) -> Run:
    """The run; where its directory is so odd that reading it fails, one of which nothing is known but that."""
    try:
        return read_run(*named, columns)
    except Exception as error:  # noqa: BLE001  # told as the run's fault: one folder must not cost the others
        return Run(
            *named,
            state="unknown",
            error=None,
            config={},
            provenance={},
            rows=Reader().table(Path(os.devnull), ())[0],
            evaluations=(),
            faults=(f"cannot be read ({type(error).__name__}: {str(error)[:LONGEST]})",),
        )


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's row, with how often each outcome was reached (`outcome_counts`) in place of its episodes."""
    episodes, _ = row.pop("outcomes", None), row.pop("outcome_counts", None)
    if isinstance(episodes, list):
        told = [episode.get("outcome") for episode in episodes if isinstance(episode, dict)]
        row["outcome_counts"] = dict(Counter(outcome for outcome in told if isinstance(outcome, str)))
    return row


def _state(status: dict[str, Any], job: dict[str, Any]) -> str:
    """What status.json says, but failed where its sweep ended it, and dead where its process went without a word."""
    state, told = state_of(status), _text(job.get("state"))
    return "failed" if told == "failed" and state in ("dead", "interrupted") else state


def _error(status: dict[str, Any]) -> str | None:
    """Type and first line of what ended a failed run."""
    error = status.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _without_fingerprint(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "fingerprint"}
