"""Measure the latency of a loaded policy on one core: milliseconds a step, for one robot, in eager torch.

    python benchmarks/policy_latency.py [--sizes XS ...] [--steps N] [--repeats N]

Networks with random weights on crowd_nav's contract (831 numbers). Times are CPU time of one thread: other processes do
not count. Every figure is the median of the repeats' means. A step includes the check of the
observation, the noise, and the action in the robot's units.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from dreamer_exp import load_policy
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.checkpoints.policy_file import build, save_policy
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import build_contract
from dreamer_exp.envs.crowd_nav import spaces
from dreamer_exp.policy.acting import Policy

KEYS = ["drive_state", "rays"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", nargs="+", default=["nano", "XS"], help="of the network")
    parser.add_argument("--steps", type=int, default=500, help="steps in a repeat")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| algorithm | size | load, s | ms a step |\n| --- | --- | --- | --- |")
    for algorithm in ("dreamerv3", "dreamerv3_rllib"):
        for size in arguments.sizes:
            with tempfile.TemporaryDirectory() as folder:
                save_random(Path(folder), algorithm, size)
                began = time.process_time()
                policy = load_policy(folder)
                load_s = time.process_time() - began
            milliseconds = statistics.median(measure(policy, arguments.steps) for _ in range(arguments.repeats))
            print(f"| {algorithm} | {size} | {load_s:.2f} | {milliseconds:.2f} |", flush=True)


def save_random(folder: Path, algorithm: str, size: str) -> None:
    contract = build_contract(spaces.observation_space(), spaces.action_space(), ObsContractConfig("own", KEYS))
    network = asdict(SIZES[size]) if algorithm == "dreamerv3" else {"model_size": size, "batch_length_T": 32}
    described = {
        "algorithm": algorithm,
        "network": network,
        "observation_size": contract.size,
        "action": asdict(contract.action),
        "symlog_obs": True,
    }
    save_policy(build(described), algorithm, folder, {"contract": contract.to_dict()})


def measure(policy: Policy, steps: int) -> float:
    """Return the mean milliseconds of a step."""
    assert policy.contract is not None
    rng = np.random.default_rng(0)
    entries = policy.contract.entries
    seen = [{entry.key: rng.random(entry.shape, np.float32) for entry in entries} for _ in range(16)]
    policy.reset()
    began = time.process_time()
    for step in range(steps):
        policy.act(seen[step % len(seen)])
    return 1000 * (time.process_time() - began) / steps


if __name__ == "__main__":
    main()
