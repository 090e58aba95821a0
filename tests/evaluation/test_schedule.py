"""The evaluations of a run, on the algorithm that it trains."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.evaluation.schedule import EvaluationSchedule
from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.record import Record
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from tests.experiments import nano_gym

pytestmark = pytest.mark.usefixtures("ray_local")


class Exclusive(gymnasium.Env[Any, Any]):
    """Exists once at a time, as a simulator behind a port; its episodes have five steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    open = 0

    def __init__(self) -> None:
        if Exclusive.open:
            raise RuntimeError("the port is in use")
        Exclusive.open += 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.zeros(3, np.float32), 1.0, self.steps == 5, False, {}

    def close(self) -> None:
        Exclusive.open -= 1


gymnasium.register("Exclusive-v0", Exclusive)


@pytest.mark.parametrize("algo", ["dreamerv3", pytest.param("dreamerv3_rllib", marks=pytest.mark.slow)])
def test_an_environment_that_exists_once_is_trained_and_evaluated_in_turn(algo: str, tmp_path: Path) -> None:
    words = f"algo={algo}", "evaluation.max_parallel_envs=1", "evaluation.baselines=[random,straight_to_goal]"
    experiment = nano_gym("Exclusive-v0", *words)
    algorithm, counters, lines = build_algorithm(experiment), Counters(), list[str]()
    record = Record(RunDirectory(tmp_path), experiment, counters, "2026-01-01T00:00:00+00:00")
    evaluations = EvaluationSchedule(experiment, counters, record, lambda line: None, lines.append)
    evaluations.evaluate_baselines(algorithm, lambda: False)
    evaluations.evaluate(algorithm, lambda: False)
    algorithm.train()
    counters.add(algorithm.last_iteration)
    assert evaluations.evaluate(algorithm, lambda: False)
    algorithm.train()
    algorithm.stop()
    rows = read_rows(RunDirectory(tmp_path).evaluation)
    assert [(row["policy"], row["length_mean"]) for row in rows] == [
        ("random", 5.0), (algo, 5.0), (algo, 5.0),
    ]  # fmt: skip
    assert lines == ["not for env=gym: baseline straight_to_goal"]
    assert Exclusive.open == 0
