"""Measure how long an evaluation's episodes take, by number of worker processes and by the device of the policy.

    python benchmarks/evaluation_rate.py POLICY [WORDS ...] [--workers 1 8] [--devices cpu cuda] [--repeats N] [--json]

POLICY and WORDS are those of `dreamer-exp evaluate`: a run or pretrained:NAME, then for example env=crowd_nav
episodes=100. The processes start once and drive all episodes once before the clock runs, because each compiles Robot
SF's code first; that first pass is shown too. Every other figure is the median of the repeats. Steps are decisions of
the policy, of which each is `env.action_repeat` env steps. Nothing is written.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.checkpoints.policy_file import load_policy_maker
from dreamer_exp.checkpoints.policy_source import find_policy
from dreamer_exp.cli.evaluate import with_episodes
from dreamer_exp.cli.recompose import recompose
from dreamer_exp.evaluation.dispatch import run_episodes
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.rollout import PolicyRollouts
from dreamer_exp.evaluation.workers.processes import Processes
from dreamer_exp.planning.protocol import evaluated


def main() -> None:
    arguments = parse_arguments()
    warnings.simplefilter("ignore")  # RLlib and Gymnasium warn when they are imported
    results = [
        measure(arguments.policy, arguments.words, workers, device, arguments.repeats)
        for device in arguments.devices
        for workers in arguments.workers
    ]
    print(json.dumps(results, indent=2) if arguments.json else table(results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("policy", help="a run, a checkpoint, or pretrained:NAME")
    parser.add_argument("words", nargs="*", help="settings, as for dreamer-exp evaluate")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--devices", nargs="+", default=["cpu"], choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3, help="passes whose median counts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_intermixed_args()


def measure(policy: str, words: Sequence[str], workers: int, device: str, repeats: int) -> dict[str, Any]:
    """Drive all episodes 1 + `repeats` times in the same processes."""
    source = find_policy(policy)
    words = [f"evaluation.{word}" if word.startswith("episodes=") else word for word in words]
    experiment = evaluated(recompose(source.root, with_episodes(words) if source.is_pretrained else words))
    episodes = episode_list(experiment).episodes
    make = partial(PolicyRollouts, experiment, load_policy_maker(Path(source.folder), device), None)
    with closing(Processes(make, min(workers, len(episodes)))) as processes:
        drive = partial(run_episodes, make, episodes, at_once=ROWS, workers=lambda *_: nullcontext(processes))
        first, finished = timed(drive)
        times = [timed(drive)[0] for _ in range(repeats)]
    steps = sum(each.result.length for each in finished)
    return {
        "policy": policy,
        "env": experiment.env.name,
        "device": device,
        "workers": workers,
        "episodes": len(episodes),
        "steps": steps,
        "timeouts": sum(each.result.outcome == "timeout" for each in finished),
        "first_pass_s": round(first, 1),
        "seconds": round(statistics.median(times), 2),
        "steps_per_s": round(steps / statistics.median(times)),
    }


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return a line for each number of workers and device."""
    lines = [
        f"{'env':10} {'device':6} {'workers':>7} {'episodes':>8} {'steps':>7} {'first s':>8} {'s':>7} {'steps/s':>8}"
    ]
    for each in results:
        lines.append(
            f"{each['env']:10} {each['device']:6} {each['workers']:7} {each['episodes']:8} {each['steps']:7} "
            f"{each['first_pass_s']:8.1f} {each['seconds']:7.2f} {each['steps_per_s']:8,}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
