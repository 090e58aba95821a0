"""The loop over cells: rows are kept byte for byte, a killed process costs a second try, and other rows are refused."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.benchmark.arm import Arm
from dreamer_exp.benchmark.cell import CellJob, failed
from dreamer_exp.benchmark.drive import FAILURES, ROWS, ArmFailed, ArmRun
from dreamer_exp.benchmark.planner import Entrant
from dreamer_exp.benchmark.surface import Surface
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished
from tests.benchmark.samples import as_line, metric_value, sample_row
from tests.rundir.test_lock import end, line_of, start

CELLS = tuple(EvaluationEpisode(seed, "classic_door") for seed in (101, 102, 103))


class Scripted:
    """A process that writes sample rows, fails with seed 102, or dies with it."""

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def advance(self, episodes: Sequence[EvaluationEpisode], seconds: float) -> list[Finished]:
        return [self._run(cell) for cell in episodes]

    def close(self) -> None:
        """Close nothing."""

    def _run(self, cell: EvaluationEpisode) -> Finished:
        if cell.seed == 102 and self._mode == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._mode == "broken" or (cell.seed == 102 and self._mode == "fails"):
            return failed(cell, "ValueError: no map")
        if cell.seed == 102 and self._mode == "answers for another cell":
            return Finished(cell, EpisodeResult(0.0, 0), as_line(sample_row(str(cell.scenario), 101)))
        status = "fallback" if cell.seed == 102 and self._mode == "falls back" else "ok"
        metadata = {"algorithm": "dreamer_exp", "status": status}
        line = as_line(sample_row(str(cell.scenario), cell.seed, algorithm_metadata=metadata))
        return Finished(cell, EpisodeResult(0.0, 0), line)


class ScriptedJob(CellJob):
    """A job whose processes are scripted by the policy's folder."""

    def __call__(self) -> Any:
        assert self.arm.entrant is not None
        return Scripted(self.arm.entrant.folder.name)


def arm_run(folder: Path, mode: str = "works", **identity: Any) -> ArmRun:
    surface = Surface("few", "matrix.yaml", 600, 0.1, CELLS)
    job = ScriptedJob(surface, Arm("dreamer_exp", Entrant(Path(mode), "hash")))
    run = ArmRun(job, folder, {"protocol": "few", **identity}, metric_value)
    run.open()
    return run


def shown(run: ArmRun, number: int = 2) -> list[str]:
    lines: list[str] = []
    run.drive(number, lines.append)
    return lines


def test_rows_are_kept_and_progress_counts_them(tmp_path: Path) -> None:
    run = arm_run(tmp_path)
    assert shown(run)[-1].startswith("benchmark: dreamer_exp: 3/3 episodes, success 100%, eta 0:00")
    assert sorted((tmp_path / ROWS).read_bytes().splitlines(keepends=True)) == sorted(
        as_line(sample_row("classic_door", cell.seed)) for cell in CELLS
    )


def test_a_second_call_runs_only_the_missing_cells(tmp_path: Path) -> None:
    shown(arm_run(tmp_path, "fails"))
    run = arm_run(tmp_path)
    assert run.missing == [CELLS[1]]
    shown(run)
    assert len((tmp_path / ROWS).read_bytes().splitlines()) == 3
    assert not (tmp_path / FAILURES).exists()


@pytest.mark.parametrize(
    ("mode", "why"),
    [("fails", "ValueError: no map"), ("falls back", "refused: the planner's status is fallback"),
     ("dies", "its process died twice"),
     ("answers for another cell", "refused: it is a row of scenario classic_door, seed 101")],
)  # fmt: skip
def test_a_cell_without_a_row_is_written_with_the_reason(tmp_path: Path, mode: str, why: str) -> None:
    run = arm_run(tmp_path, mode)
    shown(run, 1)
    (line,) = (tmp_path / FAILURES).read_text().splitlines()
    row = json.loads(line)
    assert (row["scenario"], row["seed"]) == ("classic_door", 102)
    assert row["error"].startswith(why)
    assert list(run.results) == [CELLS[0], CELLS[2]]


def test_an_arm_whose_cells_all_fail_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ArmFailed, match="dreamer_exp: ValueError: no map"):
        shown(arm_run(tmp_path, "broken"))


def test_a_folder_in_which_another_process_works_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    holder = start(tmp_path / "arm")
    line_of(holder)
    with pytest.raises(UserError, match=f"arm: in use by process {holder.pid} on .*; wait until it has ended"):
        arm_run(tmp_path / "arm")
    end(holder)
    arm_run(tmp_path / "arm")


def test_a_folder_with_rows_of_another_policy_is_refused(tmp_path: Path) -> None:
    arm_run(tmp_path, policy="a")
    with pytest.raises(UserError, match='holds rows of policy="a", not "b"; name another folder'):
        arm_run(tmp_path, policy="b")
