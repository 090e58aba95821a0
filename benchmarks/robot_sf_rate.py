"""Measure steps per second of Robot SF and crowd_nav with the same observation contract of 831 floats.

    PYTHONPATH=<checkout>:<checkout>/fast-pysf python benchmarks/robot_sf_rate.py [--steps N] [--repeats N] [--json]

One process steps with random actions; resets are included. Every figure is the median of the repeats. Repeats alternate
between the cases, so that load on the machine affects all of them. The cases of Robot SF need a checkout with its
scenarios and maps; a case that cannot be built is skipped with a message.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import EnvConfig, ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.make import make_env
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig

CONTRACT = ObsContractConfig("drive_state_rays", ["drive_state", "rays"])
MATRIX = ScenarioMatrixConfig(path="configs/scenarios/classic_interactions_francis2023.yaml")
CASES: dict[str, EnvConfig] = {
    "robot_sf, default map (81 pedestrians)": RobotSFConfig(),
    "robot_sf, 48 scenarios": RobotSFConfig(scenario_matrix=MATRIX),
    "crowd_nav, mixed": CrowdNavConfig(),
    "crowd_nav, dense": CrowdNavConfig(scenario="dense"),
}


def main() -> None:
    arguments = parse_arguments()
    runs: dict[str, Callable[[], float]] = {}
    for case, config in CASES.items():
        try:
            runs[case] = make_run(make_env(config, CONTRACT), arguments.steps)
        except UserError as error:
            print(f"{case}: skipped. {error}", file=sys.stderr)
    rates: dict[str, list[float]] = {case: [] for case in runs}
    for _ in range(arguments.repeats):
        for case, run in runs.items():
            rates[case].append(arguments.steps / run())
    medians = {case: statistics.median(values) for case, values in rates.items()}
    print(json.dumps(medians, indent=2) if arguments.json else table(medians))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=500, help="steps in a repeat of a case")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each case")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def make_run(env: ContractEnv, steps: int) -> Callable[[], float]:
    """Return a function that steps the env this many times and returns its duration in seconds, after compilation."""
    actions: Any = np.random.default_rng(0).uniform(-1, 1, (steps, 2)).astype(np.float32)
    env.reset(seed=0)
    env.step(actions[0])

    def run() -> float:
        start = time.perf_counter()
        env.reset()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return time.perf_counter() - start

    return run


def table(medians: dict[str, float]) -> str:
    slowest = min(medians.values())
    lines = [f"{case:<40}{rate:>10.0f}{rate / slowest:>10.1f}" for case, rate in medians.items()]
    return "\n".join([f"{'case':<40}{'steps / s':>10}{'ratio':>10}", *lines])


if __name__ == "__main__":
    main()
