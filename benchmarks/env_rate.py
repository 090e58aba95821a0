"""Measure steps per second of crowd_nav, for each scenario family and for 25 pedestrians and 40 wall segments.

    python benchmarks/env_rate.py [--steps N] [--repeats N] [--json]

One process steps with random actions; resets are included. Every figure is the median of the repeats. Repeats alternate
between the variants, so that load on the machine affects all of them. The reference is the simulator alone (navground's
world update and the motion of the robot, without lidar, observation, reward or reset).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import cache
from itertools import count, islice
from typing import Any

import gymnasium
import numpy as np

from dreamer_exp.envs.contract import ContractEnv
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.crowd_nav.navground_simulator import NavgroundSimulator
from dreamer_exp.envs.crowd_nav.scenarios.families import FAMILIES, Family
from dreamer_exp.envs.crowd_nav.scenarios.generate import generate_layout
from dreamer_exp.envs.crowd_nav.scenarios.layout import Layout

BIG_CASE = "25 pedestrians, 40 segments"
BIG_FAMILY = Family(
    name=BIG_CASE,
    description="25 pedestrians and 40 wall segments",
    generator="blocks",
    length=(40.0, 40.0),
    width=(40.0, 40.0),
    pedestrians=(25, 25),
    route_length=(10.0, 40.0),
    waypoints=(1, 6),
    heading_error=0.5,
    parameters={"boxes": (9, 9), "side": (2.0, 4.0), "aisle": (3.0, 3.0)},
)
VARIANTS = ("raw", "raw, no noise", "contract", "contract, no noise", "simulator")


class BigCase(CrowdNavEnv):
    """crowd_nav with exactly 25 pedestrians and 40 wall segments, from layouts drawn in advance."""

    def _draw_layout(self) -> Layout:
        return big_layouts()[self._rng.integers(len(big_layouts()))]


@cache
def big_layouts() -> list[Layout]:
    rng = np.random.default_rng(0)
    drawn = (generate_layout(BIG_FAMILY, rng) for _ in count())
    return list(islice((lay for lay in drawn if len(lay.walls) == 40 and len(lay.patrols) == 25), 8))


def main() -> None:
    arguments = parse_arguments()
    rows = [measure_case(case, arguments.steps, arguments.repeats) for case in (*FAMILIES, BIG_CASE)]
    print(json.dumps(rows, indent=2) if arguments.json else table(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=2000, help="steps in a repeat of a variant")
    parser.add_argument("--repeats", type=int, default=5, help="repeats of each variant")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def measure_case(case: str, steps: int, repeats: int) -> dict[str, Any]:
    runs = {variant: make_run(case, variant, steps) for variant in VARIANTS}
    rates: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(repeats):
        for variant, run in runs.items():
            rates[variant].append(steps / run())
    medians = {variant: statistics.median(values) for variant, values in rates.items()}
    crowd = make_case(case, noise=True)
    return {
        "case": case,
        "steps_per_s": {variant: round(value) for variant, value in medians.items()},
        "contract_over_simulator": round(medians["contract"] / medians["simulator"], 3),
        "reset_ms": round(1e3 * statistics.median(seconds(crowd.reset) for _ in range(30)), 2),
    }


def make_run(case: str, variant: str, steps: int) -> Callable[[], float]:
    """Return a function that runs the variant for this number of steps and returns its duration in seconds."""
    env = make_case(case, noise="no noise" not in variant)
    if variant == "simulator":
        return lambda: run_simulator(env, steps)
    outer: gymnasium.Env[Any, Any] = env
    if variant.startswith("contract"):
        outer = ContractEnv(env, keys=["drive_state", "rays"], frames="all")
    return lambda: run_env(outer, steps)


def make_case(case: str, *, noise: bool) -> CrowdNavEnv:
    return BigCase(lidar_noise=noise) if case == BIG_CASE else CrowdNavEnv(case, lidar_noise=noise)


def run_env(env: gymnasium.Env[Any, Any], steps: int) -> float:
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 2)).astype(np.float32)
    env.reset(seed=0)
    start = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return time.perf_counter() - start


def run_simulator(env: CrowdNavEnv, steps: int) -> float:
    env.reset(seed=0)
    simulator = env.simulator
    assert isinstance(simulator, NavgroundSimulator)
    start = time.perf_counter()
    for _ in range(steps):
        simulator.step(0.0, 0.0)
    return time.perf_counter() - start


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: list[dict[str, Any]]) -> str:
    head = ["case", *(f"{variant}" for variant in VARIANTS), "contract / simulator", "reset, ms"]
    body = [
        [row["case"], *map(str, row["steps_per_s"].values()), str(row["contract_over_simulator"]), str(row["reset_ms"])]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *body]]
    return "\n".join(["steps per second; median of the repeats", *lines])


if __name__ == "__main__":
    main()
