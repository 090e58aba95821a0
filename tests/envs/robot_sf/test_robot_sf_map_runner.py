"""Robot SF's own runner with a planner of ours: private parts are guarded, rows agree with our environment."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from runner_agreement import RayBlind, end_in_env, end_in_runner, ray_blind_runner

from dreamer_exp.benchmark.surface import read_surface
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import map_runner
from dreamer_exp.envs.robot_sf.map_runner import ENTRIES, NAME, load_map_runner
from dreamer_exp.evaluation.episodes import EvaluationEpisode

CELLS = (
    EvaluationEpisode(101, "classic_doorway_low"),  # a wall
    EvaluationEpisode(102, "francis2023_circular_crossing"),
    EvaluationEpisode(103, "classic_group_crossing_high"),  # pedestrians that draw new goals
)


@pytest.mark.robot_sf
def test_the_private_parts_are_there_at_the_tested_commit() -> None:
    runner = load_map_runner()
    runner.register(lambda *given, **robot: None)  # type: ignore[arg-type, return-value]
    assert NAME in runner.builders
    assert all(NAME in runner.tables[table] for table in ENTRIES)


@pytest.mark.robot_sf
@pytest.mark.parametrize(
    ("module", "name", "kind"),
    [("RUNNER", "_NO_SUCH_TABLE", dict), ("METADATA", "deepcopy", dict), (None, "anything", dict)],
)
def test_a_missing_or_changed_part_is_named_with_the_commit(module: str | None, name: str, kind: type) -> None:
    path = "robot_sf.no_such_module" if module is None else getattr(map_runner, module)
    with pytest.raises(UserError, match=rf"^benchmark: {path}\.{name} .*written for commit 40d0854"):
        map_runner._part(path, name, kind)


@pytest.mark.robot_sf
@pytest.mark.slow  # compiles Robot SF's code
def test_outcomes_and_steps_are_those_of_our_environment() -> None:
    surface = replace(read_surface("robot_sf_smoke"), cells=CELLS)
    runner = ray_blind_runner(surface)
    in_runner = {cell: end_in_runner(runner, cell) for cell in CELLS}
    assert in_runner == {cell: end_in_env(surface, cell, RayBlind()) for cell in CELLS}


@pytest.mark.robot_sf
@pytest.mark.slow
def test_robot_sf_resumes_from_the_rows_that_we_keep(tmp_path: Path) -> None:
    surface = replace(read_surface("robot_sf_smoke"), cells=CELLS[:1])
    runner = ray_blind_runner(surface)
    (finished,) = runner.advance(surface.cells, 0.0)
    rows = tmp_path / "episodes.jsonl"
    rows.write_bytes(finished.recording)
    assert json.loads(finished.recording)["algo"] == NAME
    summary = runner.batch(surface.cells[0], rows, resume=True)
    assert (summary["total_jobs"], rows.read_bytes()) == (0, finished.recording)
