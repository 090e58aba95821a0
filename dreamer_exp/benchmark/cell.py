"""One process of the benchmark: runs cells (scenario and seed) through Robot SF's runner."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from dreamer_exp.benchmark.arm import Arm
from dreamer_exp.benchmark.planner import planner_builder
from dreamer_exp.benchmark.surface import Surface
from dreamer_exp.config.errors import first_line
from dreamer_exp.envs.episode import FAULT, EpisodeResult
from dreamer_exp.envs.robot_sf.map_runner import SCHEMA, checkout, load_map_runner
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished


@dataclass(frozen=True)
class CellJob:
    """What a process needs to run cells of an arm.

    Attributes:
        surface: gives scenarios, horizon and step length.
        arm: the planner.
        config: a YAML file that identifies the policy; None for a planner of Robot SF.
    """

    surface: Surface
    arm: Arm
    config: Path | None = None

    def __call__(self) -> "CellRunner":
        """Build the runner, in its process."""
        return CellRunner(self)


class CellRunner:
    """Runner of one cell after another; each is a batch of its own, so that nothing of it stays in memory."""

    def __init__(self, job: CellJob) -> None:
        torch.set_num_threads(1)
        self._job = job
        self._runner = load_map_runner()
        if job.arm.entrant is not None:
            self._runner.register(planner_builder(job.arm.entrant))
        self._scenarios = job.surface.scenarios()
        self._scratch = tempfile.TemporaryDirectory(prefix="dreamer_exp_benchmark_")

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        """Run these cells; their recordings are the rows as Robot SF wrote them, in bytes, or None without a row."""
        return [self._run(cell) for cell in episodes]

    def close(self) -> None:
        """Remove the scratch files."""
        self._scratch.cleanup()

    def _run(self, cell: EvaluationEpisode) -> Finished:
        seed_lidar_noise(cell.seed)
        rows = Path(self._scratch.name) / "episodes.jsonl"
        rows.unlink(missing_ok=True)
        try:
            summary = self.batch(cell, rows)
        except Exception as error:  # noqa: BLE001  # of Robot SF's code: the row that is missing is reported with it
            return failed(cell, f"{type(error).__name__}: {first_line(error, 'no message')}")
        lines = rows.read_bytes().splitlines(keepends=True) if rows.exists() else []
        if len(lines) != 1 or summary.get("failed_jobs"):
            failures = summary.get("failures") or [{"error": summary.get("preflight", "no row was written")}]
            return failed(cell, str(failures[0].get("error")))
        return Finished(cell, EpisodeResult(0.0, 0), lines[0])

    def batch(self, cell: EvaluationEpisode, rows: Path, resume: bool = False) -> dict[str, Any]:
        """Append the row of a cell to a file with Robot SF's runner; return its summary.

        With `resume`, a cell whose row Robot SF finds in the file is left out.

        Robot SF's code raises errors of any kind.
        """
        surface = self._job.surface
        return self._runner.run_map_batch(
            [{**self._scenarios[str(cell.scenario)], "seeds": [cell.seed]}],
            rows,
            checkout() / SCHEMA,
            scenario_path=surface.path,
            horizon=surface.horizon,
            dt=surface.dt,
            algo_config_path=None if self._job.config is None else str(self._job.config),
            workers=1,
            resume=resume,
            **self._job.arm.settings,
        )


def failed(cell: EvaluationEpisode, error: str) -> Finished:
    """Return what stands for a cell without a row."""
    return Finished(cell, EpisodeResult(0.0, 0, FAULT, cell.scenario, cell.seed, fault=error[:1000]))


def seed_lidar_noise(seed: int) -> None:
    """Seed numba's generator, which draws Robot SF's lidar noise and which Robot SF never seeds.

    So a row depends on its scenario and seed, and not on the cells that its process ran before.
    """
    _seeder()(seed)


@cache
def _seeder() -> Any:
    import numba  # a requirement of Robot SF
    import numpy as np

    def seed(number: int) -> None:
        np.random.seed(number)  # noqa: NPY002  # compiled, it seeds numba's generator

    return numba.njit(seed)
