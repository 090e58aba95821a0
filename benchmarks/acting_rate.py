"""Measure env steps per second of one env runner on one core, for each algorithm.

    python benchmarks/acting_rate.py [--steps N] [--repeats N] [--envs N ...] [--algorithms NAME ...] [--size XS]
        [--json]

crowd_nav with its observation contract, networks of 4 million parameters (XS) for DreamerV3, and of two layers of 256
units for the actors of PPO and SAC; resets are included. Every figure is
the median of the repeats. Repeats alternate between the variants, so that load on the machine affects all of them. The
reference is the environments alone, stepped with actions drawn in advance.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import hydra
import numpy as np
import torch
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

from dreamer_exp.algorithms.rllib.build import build_config
from dreamer_exp.config import compose, load
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import make_env
from dreamer_exp.hardware import probe
from dreamer_exp.monitoring.logs import quiet

SIZES = {  # algorithm: words of its size
    "dreamerv3_rllib": ("algo.model_size=XS",),
    "dreamerv3": ("algo.model_size=XS",),
    "ppo": (),
    "sac": (),
}
ENVS_ALONE = "envs alone"


def main() -> None:
    arguments = parse_arguments()
    use_one_core()
    quiet("ERROR")
    words = {name: [f"algo.model_size={arguments.size}"] * bool(SIZES[name]) for name in arguments.algorithms}
    rows = [measure_case(words, num_envs, arguments.steps, arguments.repeats) for num_envs in arguments.envs]
    print(table(rows, arguments.algorithms))
    if arguments.json:
        print(json.dumps(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=640, help="env steps in a repeat of a variant")
    parser.add_argument("--repeats", type=int, default=7, help="repeats of each variant")
    parser.add_argument("--envs", type=int, nargs="+", default=[1, 4, 16], help="environments of a runner, a row each")
    parser.add_argument("--algorithms", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--size", default="XS", help="of the networks of DreamerV3")
    parser.add_argument("--json", action="store_true", help="also print JSON, as the last line")
    return parser.parse_args()


def use_one_core() -> None:
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure_case(words: dict[str, list[str]], num_envs: int, steps: int, repeats: int) -> dict[str, Any]:
    runs = {name: make_run(make_runner(name, num_envs, *more), steps) for name, more in words.items()}
    runs[ENVS_ALONE] = make_envs_run(num_envs, steps)
    rates: dict[str, list[float]] = {variant: [] for variant in runs}
    for run in runs.values():
        run()  # warm-up
    for _ in range(repeats):
        for variant, run in runs.items():
            rates[variant].append(timed_rate(run))
    medians = {variant: statistics.median(values) for variant, values in rates.items()}
    return {
        "envs": num_envs,
        "steps_per_s": {variant: round(value) for variant, value in medians.items()},
        "over_envs_alone": {name: round(medians[name] / medians[ENVS_ALONE], 2) for name in words},
    }


def make_experiment(algorithm: str, num_envs: int, *words: str) -> Experiment:
    overrides = [f"algo={algorithm}", *SIZES[algorithm], "hardware=cpu", "env=crowd_nav", *words]
    overrides += [f"hardware.num_envs_per_env_runner={num_envs}", "obs_contract=drive_state_rays"]
    compose.prepare()
    with hydra.initialize_config_dir(str(compose.config_dir()), version_base="1.3"):
        return load.load_experiment(hydra.compose("config", overrides=overrides), probe())


def make_runner(algorithm: str, num_envs: int, *words: str) -> SingleAgentEnvRunner:
    config = build_config(make_experiment(algorithm, num_envs, *words))
    return config.env_runner_cls(config=config, worker_index=0, num_workers=0)


def make_run(runner: SingleAgentEnvRunner, steps: int) -> Callable[[], int]:
    """Return a function that samples about this many steps and returns their exact number."""
    return lambda: sum(map(len, runner.sample(num_timesteps=steps)))


def make_envs_run(num_envs: int, steps: int) -> Callable[[], int]:
    """Return a function that steps the environments alone and returns the number of steps."""
    experiment = make_experiment("dreamerv3", num_envs)
    envs = [make_env(experiment.env, experiment.obs_contract) for _ in range(num_envs)]
    actions = np.random.default_rng(0).uniform(-1, 1, (-(-steps // num_envs), num_envs, 2)).astype(np.float32)
    for seed, env in enumerate(envs):
        env.reset(seed=seed)

    def run() -> int:
        for step in actions:
            for env, action in zip(envs, step, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        return len(actions) * num_envs

    return run


def timed_rate(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    steps = run()
    return steps / (time.perf_counter() - start)


def table(rows: list[dict[str, Any]], algorithms: list[str]) -> str:
    head = ["envs", *rows[0]["steps_per_s"], *(f"{name} / {ENVS_ALONE}" for name in algorithms)]
    body = [
        [str(row["envs"]), *map(str, row["steps_per_s"].values()), *row["over_envs_alone"].values()] for row in rows
    ]
    widths = [max(len(str(line[column])) for line in [head, *body]) for column in range(len(head))]
    lines = [
        "  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)) for line in [head, *body]
    ]
    return "\n".join(["env steps per second on one core; median of the repeats", *lines])


if __name__ == "__main__":
    main()
