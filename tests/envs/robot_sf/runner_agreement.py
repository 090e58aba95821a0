"""The same cells in our environment and in Robot SF's runner.

As a script, with a policy: its outcomes in both, in our environment without lidar noise, and in the runner a second
time with other lidar noise, which is how much the noise alone changes.

    PYTHONPATH=.:<checkout>:<checkout>/fast-pysf python tests/envs/robot_sf/runner_agreement.py POLICY robot_sf_smoke
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamer_exp.benchmark import cell as cells
from dreamer_exp.benchmark.arm import Arm
from dreamer_exp.benchmark.cell import CellJob, CellRunner
from dreamer_exp.benchmark.origin import find_origin
from dreamer_exp.benchmark.planner import RunnerPlanner
from dreamer_exp.benchmark.rows import read_row
from dreamer_exp.benchmark.surface import Surface, read_surface
from dreamer_exp.envs.crowd_nav.baselines import StraightToGoal
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.robot_sf.map_runner import NAME, load_map_runner
from dreamer_exp.evaluation.episodes import EvaluationEpisode


class End(NamedTuple):
    """How an episode ended, and after how many steps."""

    outcome: str
    steps: int


class RayBlind(RunnerPlanner):
    """A planner that reads `drive_state` alone, so that the lidar's noise cannot change its episodes."""

    def __init__(self) -> None:
        self._act = StraightToGoal(None, 0).act  # type: ignore[arg-type]  # it keeps no environment

    def _planner_reset(self, seed: int | None = None) -> None:
        """Do nothing: there is no state."""

    def __call__(self, observation: Any) -> tuple[float, float]:
        linear, angular = self._act(observation)
        return float(linear), float(angular)


def ray_blind_runner(surface: Surface) -> CellRunner:
    """Return a runner of cells with RayBlind as our planner."""
    runner = CellRunner(CellJob(surface, Arm(NAME)))
    load_map_runner().register(lambda algo, config, **robot: (RayBlind(), {"algorithm": NAME, "status": "ok"}))
    return runner


def end_in_runner(runner: CellRunner, cell: EvaluationEpisode) -> End:
    """Return the end of a cell in Robot SF's runner."""
    (finished,) = runner.advance([cell], 0.0)
    assert finished.recording is not None, finished.result.fault
    result = read_row(json.loads(finished.recording), NAME, load_map_runner().metric_value)
    return End(result.outcome, result.steps)


def end_in_env(surface: Surface, cell: EvaluationEpisode, planner: RunnerPlanner, noise: bool = False) -> End:
    """Return the end of a cell in our environment."""
    matrix = ScenarioMatrixConfig(path=surface.matrix, include=[str(cell.scenario)])
    env = RobotSFEnv(RobotSFConfig(max_steps=surface.horizon, lidar_noise=noise, scenario_matrix=matrix))
    observation, info = env.reset(seed=cell.seed, options={"scenario": cell.scenario})
    planner._planner_reset(cell.seed)
    steps = 0
    while not info:
        observation, _, _, _, info = env.step(np.array(planner(observation), np.float32))
        steps += 1
    return End(info["outcome"], steps)


def with_other_noise(runner: CellRunner, cell: EvaluationEpisode) -> End:
    """Return the end of a cell in Robot SF's runner with other lidar noise than its seed gives."""
    seed_noise, cells.seed_lidar_noise = cells.seed_lidar_noise, lambda seed: seed_noise(seed + 1_000_000)
    try:
        return end_in_runner(runner, cell)
    finally:
        cells.seed_lidar_noise = seed_noise


def report(name: str, pairs: Iterable[tuple[EvaluationEpisode, End, End]]) -> None:
    """Print the cells whose outcomes differ."""
    equal: Counter[str] = Counter()
    for cell, first, second in pairs:
        equal["cells"] += 1
        equal["outcomes"] += first.outcome == second.outcome
        equal["steps"] += first == second
        if first != second:
            print(
                f"  {name}: {cell.scenario} {cell.seed}: {first.outcome} {first.steps}, {second.outcome} {second.steps}"
            )
    print(
        f"{name}: {equal['cells']} cells, equal outcome {equal['outcomes']}, equal outcome and steps {equal['steps']}"
    )


def main(policy: str, protocol: str, most: str = "10000") -> None:
    """Compare the policy on the cells of a protocol."""
    surface, entrant = read_surface(protocol), find_origin(Path(policy)).entrant
    chosen = surface.cells[: int(most)]
    runner, planner = CellRunner(CellJob(surface, Arm(NAME, entrant))), RunnerPlanner(entrant.load(), 1)
    compare: dict[str, Callable[[EvaluationEpisode], End]] = {
        "environment without noise": lambda cell: end_in_env(surface, cell, planner),
        "environment with noise": lambda cell: end_in_env(surface, cell, planner, noise=True),
        "runner with other noise": lambda cell: with_other_noise(runner, cell),
    }
    base = {cell: end_in_runner(runner, cell) for cell in chosen}
    for name, end in compare.items():
        report(f"runner, {name}", ((cell, base[cell], end(cell)) for cell in chosen))
    blind = ray_blind_runner(surface)
    report(
        "without rays", ((cell, end_in_runner(blind, cell), end_in_env(surface, cell, RayBlind())) for cell in chosen)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
