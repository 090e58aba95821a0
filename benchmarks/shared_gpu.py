"""Updates per second of several learners that share one GPU, in turns and by NVIDIA MPS.

    python benchmarks/shared_gpu.py [--jobs 1 2 4] [--seconds 5] [--size XS] [--batch 16] [--length 32] [--horizon 10]
        [--dtype bfloat16] [--backend fused] [--device cuda] [--json]

Each learner is a process, as a job of a sweep with `sweep.jobs_per_gpu`, and updates as fast as it can. All begin
together, after their warm-up, and count for the same seconds. Every update gets a new batch from host memory, of 831
floats a step. By MPS each process gets 100 / jobs percent of the multiprocessors, as in a sweep; without the daemon,
only turns are measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

from dreamer_exp.sweeps.gpu_sharing import GpuSharing, mps

WARM_UP = 5  # updates; the graph is captured in the fourth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", default="XS")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=10)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--backend", default="fused")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", action="store_true", help="print a last line of JSON")
    parser.add_argument("--learner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.learner:
        learn(options)
        return
    rows = measure_turns(options.jobs, options.seconds)
    for jobs in options.jobs:
        with mps(GpuSharing(jobs)) as how:
            if how.startswith("by "):
                rows.append(measure(jobs, options.seconds, how))
            elif how:
                print(f"{jobs} jobs by MPS: not measured, the GPU is shared {how}", flush=True)
    alone = next((row["updates_per_s"] for row in rows if row["jobs"] == 1), None)
    for row in rows:
        relative = f", {row['updates_per_s'] / alone:.2f} times one job" if alone else ""
        print(
            f"{row['jobs']} jobs {row['how']}: {row['updates_per_s']:.0f} updates/s in all, "
            f"{row['slowest']:.0f} of the slowest{relative}"
        )
    if options.json:
        print(json.dumps(rows))


def measure_turns(numbers: Sequence[int], seconds: float) -> list[dict[str, object]]:
    """Return a row for each number of jobs, all with the same processes, some of which wait."""
    learners = [Learner() for _ in range(max(numbers))]
    for learner in learners:
        learner.wait()
    rows = [row(jobs, "in turns", [learner.count for learner in started(learners[:jobs], seconds)]) for jobs in numbers]
    for learner in learners:
        learner.end()
    return rows


def measure(jobs: int, seconds: float, how: str) -> dict[str, object]:
    learners = [Learner() for _ in range(jobs)]
    for learner in learners:
        learner.wait()
    counts = [learner.count for learner in started(learners, seconds)]
    for learner in learners:
        learner.end()
    return row(jobs, how, counts)


def started(learners: Sequence["Learner"], seconds: float) -> Sequence["Learner"]:
    """Have the learners count updates for these seconds at the same time."""
    for learner in learners:
        learner.start(seconds)
    for learner in learners:
        learner.wait()
    return learners


def row(jobs: int, how: str, rates: Sequence[float]) -> dict[str, object]:
    return {"jobs": jobs, "how": how, "updates_per_s": sum(rates), "slowest": min(rates)}


class Learner:
    """A process that makes updates on request."""

    def __init__(self) -> None:
        self.count = 0.0  # updates per second
        self._process = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--learner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, seconds: float) -> None:
        self._say(f"{seconds}\n")

    def wait(self) -> None:
        """Wait for the end of the warm-up, or for the updates' rate."""
        line = pipe(self._process.stdout).readline()
        if not line:
            sys.exit("a learner has ended; its error is above")
        self.count = float(line)

    def end(self) -> None:
        pipe(self._process.stdin).close()
        self._process.wait()

    def _say(self, line: str) -> None:
        writer = pipe(self._process.stdin)
        writer.write(line)
        writer.flush()


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def learn(options: argparse.Namespace) -> None:
    """Print 0 after the warm-up; then for each line with seconds, the updates per second during them."""
    import torch
    from update_sides import DreamerV3Side, Work

    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = options.dtype == "tf32"
    work = Work(
        size=options.size,
        batch=options.batch,
        length=options.length,
        horizon=options.horizon,
        observation=831,
        device=options.device,
        dtype=options.dtype,
        backends=(options.backend,),
    )
    side = DreamerV3Side(work, options.backend)
    for _ in range(WARM_UP):
        side()
    print(0.0, flush=True)
    for line in sys.stdin:
        count, start = 0, time.perf_counter()
        while (taken := time.perf_counter() - start) < float(line):
            side()
            count += 1
        print(count / taken, flush=True)


if __name__ == "__main__":
    main()
