"""The loop that gives an arm's cells to processes, and keeps the rows."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dreamer_exp.benchmark.cell import CellJob, failed
from dreamer_exp.benchmark.rows import CellResult, MetricValue, RefusedRow, parse_line, read_row, read_rows
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.robot_sf.map_runner import NAME
from dreamer_exp.evaluation.dispatch import Dispatch, never
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished
from dreamer_exp.evaluation.workers.processes import processes
from dreamer_exp.monitoring.episode_progress import EpisodeProgress
from dreamer_exp.rundir import lock
from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.rundir.reader import read_tree

ROWS, FAILURES, IDENTITY = "episodes.jsonl", "failures.jsonl", "arm.json"
FAILED_AT_FIRST = 10  # cells without a row, none having one, after which the others are not tried

log = logging.getLogger(__name__)


class ArmFailed(Exception):
    """The first cells of an arm all failed; the message is why the last one did."""


@dataclass
class ArmRun:
    """The run of an arm over the cells of its surface, in a folder of its own.

    Attributes:
        job: the arm and the surface.
        folder: of its rows.
        identity: JSON values that decide the rows; a folder with other ones is refused.
        metric_value: Robot SF's reading of a metric.
        results: of the cells that have a row.
        failures: of the cells that have no row: why.
    """

    job: CellJob
    folder: Path
    identity: Mapping[str, Any]
    metric_value: MetricValue
    results: dict[EvaluationEpisode, CellResult] = field(default_factory=dict)
    failures: dict[EvaluationEpisode, str] = field(default_factory=dict)

    def open(self) -> None:
        """Take the folder until this process ends, and read the rows of earlier calls.

        Raises:
            UserError: another process has the folder, or it holds rows of something else.
            OSError: the folder cannot be read or written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock.hold(self.folder, lock.BENCHMARKS, str(self.folder))
        path = self.folder / IDENTITY
        if path.exists():
            refuse_others(self.folder, read_tree(path), self.identity)
        write_json(path, dict(self.identity))
        rows = read_rows(self.folder / ROWS, self._read)
        self.results = {cell: rows[cell] for cell in self.job.surface.cells if cell in rows}

    @property
    def missing(self) -> list[EvaluationEpisode]:
        """The cells without a row."""
        return [cell for cell in self.job.surface.cells if cell not in self.results]

    def drive(self, number: int, show: Callable[[str], None]) -> None:
        """Run the missing cells in a number of processes.

        Args:
            number: of processes.
            show: shows a line of progress.

        Raises:
            ArmFailed: no cell has a row, and the first ones failed.
        """
        missing = self.missing
        (self.folder / FAILURES).unlink(missing_ok=True)  # its cells run again
        name = self.job.arm.name
        earlier = [as_result(result) for result in self.results.values()]
        progress = EpisodeProgress(f"benchmark: {name}", len(self.job.surface.cells), show, earlier)
        if not missing:
            return
        with processes(self.job, len(missing), number=number) as workers:
            for finished in Dispatch(workers, missing, 1, lose).run(never, progress.wait):
                progress(finished._replace(result=self._keep(finished)))
                if not self.results and len(self.failures) >= min(FAILED_AT_FIRST, len(missing)):
                    raise ArmFailed(f"{name}: {list(self.failures.values())[-1]}")

    def _keep(self, finished: Finished) -> EpisodeResult:
        """Write the row of a cell, or why there is none; return the result for the progress line."""
        cell, line = finished.episode, finished.recording
        why = finished.result.fault or "no row was written"
        if line is not None:
            try:
                result = self._read(parse_line(line) or {})
                if result.cell != cell:
                    found, seed = cell_names(result.cell)
                    raise RefusedRow(f"it is a row of scenario {found}, seed {seed}")
            except RefusedRow as refusal:
                why = f"refused: {refusal}"
            else:
                append_line(self.folder / ROWS, line)
                self.results[cell] = result
                return as_result(result)
        self.failures[cell] = why
        append_row(self.folder / FAILURES, {"scenario": cell.scenario, "seed": cell.seed, "error": why})
        log.warning("benchmark: %s, scenario %s, seed %d has no row: %s", self.job.arm.name, *cell_names(cell), why)
        return EpisodeResult(0.0, 0)

    def _read(self, row: Mapping[str, Any]) -> CellResult:
        return read_row(row, NAME if self.job.arm.entrant else self.job.arm.name, self.metric_value)


def lose(cell: EvaluationEpisode, death: str) -> Finished:
    """Return what stands for a cell whose processes died twice."""
    return failed(cell, f"its process died twice; {death}")


def cell_names(cell: EvaluationEpisode) -> tuple[str | None, int]:
    """Return scenario and seed."""
    return cell.scenario, cell.seed


def as_result(result: CellResult) -> EpisodeResult:
    """Return a cell's result in the form of an evaluation's."""
    return EpisodeResult(0.0, result.steps, result.outcome, result.cell.scenario, result.cell.seed)


def append_line(path: Path, line: bytes) -> None:
    """Append a line as it is; raises OSError if the disk does not take all of it, which is then removed."""
    with open(path, "ab", buffering=0) as file:
        size = file.tell()
        if file.write(line) != len(line):
            file.truncate(size)
            raise OSError(f"{path}: the disk is full")


def refuse_others(folder: Path, found: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raise UserError if a folder's rows are of another policy, surface or Robot SF."""
    for key in identity:
        if found.get(key) != identity[key]:
            was, now = json.dumps(found.get(key)), json.dumps(identity[key])
            raise UserError(f"{folder} holds rows of {key}={was}, not {now}; name another folder with out=DIR.")
