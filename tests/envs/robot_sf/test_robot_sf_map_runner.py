"""Robot SF's own runner with a planner of ours: private parts are guarded, rows agree with our environment."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runner_agreement import RayBlind, end_in_env, end_in_runner, ray_blind_runner

from dreamer_exp.benchmark.surface import Surface, read_surface
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.episode import result_of
from dreamer_exp.envs.robot_sf import map_runner
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.robot_sf.map_runner import ENTRIES, NAME, load_map_runner
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.recorder import EpisodeRecorder

CELLS = (
    EvaluationEpisode(101, "classic_doorway_low"),  # a wall
    EvaluationEpisode(102, "francis2023_circular_crossing"),
    EvaluationEpisode(103, "classic_group_crossing_high"),  # pedestrians that draw new goals
)
SHARED_METRICS = (  # without path_efficiency, whose shortest path differs (docs/metrics.md)
    "time_to_goal_norm", "jerk_mean", "curvature_mean", "stalled_time", "comfort_exposure", "force_exceed_events",
    "near_misses", "min_clearance",
)  # fmt: skip


class LateStarter(RayBlind):
    """A RayBlind that first stands still for 0, 5 or 10 steps, so that there is stalled time to compare."""

    def _planner_reset(self, seed: int | None = None) -> None:
        assert seed is not None
        self._waiting_steps = 5 * (seed % 3)

    def __call__(self, observation: Any) -> tuple[float, float]:
        self._waiting_steps -= 1
        return (0.0, 0.0) if self._waiting_steps >= 0 else super().__call__(observation)


def metrics_in_env(surface: Surface, cell: EvaluationEpisode, planner: RayBlind) -> dict[str, float | None]:
    """Return what an evaluation measures in our environment, with the jerk of a step, as Robot SF has it."""
    matrix = ScenarioMatrixConfig(path=surface.matrix, include=[str(cell.scenario)])
    env = RobotSFEnv(RobotSFConfig(max_steps=surface.horizon, lidar_noise=False, scenario_matrix=matrix))
    observation, info = env.reset(seed=cell.seed, options={"scenario": cell.scenario})
    planner._planner_reset(cell.seed)
    recorder, steps = EpisodeRecorder(env, cell, surface.horizon), 0
    while not info:
        observation, _, _, _, info = env.step(np.array(planner(observation), np.float32))
        recorder.step()
        steps += 1
    result = recorder.complete(result_of(info, 0.0, steps))
    measured = {**(result.social or {}), "near_misses": result.near_misses, "min_clearance": result.min_clearance}
    measured["jerk_mean"] = (measured["jerk_mean"] or 0.0) * surface.dt
    return {name: measured[name] for name in SHARED_METRICS}


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
def test_metrics_are_those_of_the_rows_of_robot_sf() -> None:
    surface = replace(read_surface("robot_sf_smoke"), cells=CELLS)
    runner = ray_blind_runner(surface)
    load_map_runner().register(lambda algo, config, **robot: (LateStarter(), {"algorithm": NAME, "status": "ok"}))
    rows = [json.loads(finished.recording)["metrics"] for finished in runner.advance(CELLS, 0.0)]
    for name in SHARED_METRICS:
        assert len({float(row[name]) for row in rows}) > 1, f"{name} is the same in all cells, so it tests nothing"
    for cell, row in zip(CELLS, rows, strict=True):
        expected = {name: float(row[name]) for name in SHARED_METRICS}
        assert metrics_in_env(surface, cell, LateStarter()) == pytest.approx(expected, rel=1e-9), cell


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
