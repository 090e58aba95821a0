"""Measure milliseconds of one step of the deterministic policy on a CPU, by size, rows and torch threads.

    python benchmarks/acting_threads.py [--sizes SIZE ...] [--rows N ...] [--threads N ...] [--repeats N] [--json]

crowd_nav's observation (831 floats) and random weights, without environments. Every figure is the median of the
repeats. Repeats alternate between the numbers of threads, so that load on the machine affects all of them.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any

import numpy as np
import torch

from dreamer_exp.algorithms.dreamerv3.acting.policy import EpisodePolicy
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

OBSERVATION = 831
BLOCK_S = 0.2  # shortest time of a repeat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=["nano", "XS", "12M"], choices=sorted(SIZES))
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="also print JSON, as the last line")
    arguments = parser.parse_args()
    measured = []
    print(f"ms a step of all rows; columns: threads {arguments.threads}")
    for size in arguments.sizes:
        agent = Agent(SIZES[size], OBSERVATION, ActionKind(2, discrete=False))
        for rows in arguments.rows:
            row = measure(agent, rows, arguments.threads, arguments.repeats)
            measured.append({"size": size, "rows": rows, "ms": row})
            print(f"{size:>5} {rows:>3} rows  " + "  ".join(f"{ms:7.2f}" for ms in row.values()), flush=True)
    if arguments.json:
        print(json.dumps(measured))


def measure(agent: Agent, rows: int, threads: list[int], repeats: int) -> dict[int, float]:
    """Return the median milliseconds of a step by number of threads."""
    policy = EpisodePolicy(agent, rows)
    for row in range(rows):
        policy.begin(row, seed=row)
    observations = np.random.default_rng(0).normal(size=(rows, OBSERVATION)).astype(np.float32)
    times: dict[int, list[float]] = {number: [] for number in threads}
    for _ in range(repeats + 1):
        for number, found in times.items():
            torch.set_num_threads(number)
            found.append(time_steps(policy, observations))
    return {number: round(statistics.median(found[1:]), 3) for number, found in times.items()}  # the first warms up


def time_steps(policy: EpisodePolicy, observations: Any) -> float:
    """Return the milliseconds of a step, a mean over at least BLOCK_S."""
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < BLOCK_S:
        policy.act(observations)
        steps += 1
    return 1000 * (time.perf_counter() - start) / steps


if __name__ == "__main__":
    main()
