"""Milliseconds of one training update, the fast learner's on each rung and RLlib's, alternating in one process.

    python benchmarks/update_time.py [--size XS] [--batch 16] [--length 32] [--horizon 10] [--observation 831]
        [--device cpu|cuda] [--dtype float32|tf32|bfloat16] [--kernels eager|graph|fused ...] [--against rllib|none]
        [--repeats N] [--json] [--table]

Every update gets a fresh random batch, made beforehand in host memory and moved to the device inside the timing: ours
from pinned memory, where our replay puts it (replay/staging.py), RLlib's by its learner from where its replay
leaves it. Medians after warm-up, the device synchronised. RLlib's side is always its model size XS, which XS here has
as many parameters as. `startup_s` is from the process's start to the fast learner's first finished update, imports
included. Of several rungs `fast_ms`, `ratio`, `startup_s`, `launches` and `gpu_bytes` are those of the last one named.
`parts` are of the fused rung (which wants --dtype tf32 or bfloat16): milliseconds of the main stream inside its one
graph, where what runs beside it counts as far as it is waited for. --table varies one of B, T, H and size at a time,
without RLlib; "-" is what the rung doesn't take.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import psutil
import torch
from update_sides import RUNGS, FastSide, Work, rllib_side

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

WARM_UP = 4  # the graph is captured in the fourth call
TABLE = {  # what --table varies, the rest being as asked
    "batch": (4, 8, 16, 32),
    "length": (16, 32, 64),
    "horizon": (5, 10, 15),
    "size": ("XS", "1M", "12M"),
}
LEAST = {"batch": 1, "length": 2, "horizon": 1, "observation": 1, "repeats": 1}
GPU_SIZES = ("25M", "50M", "100M", "200M")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="XS")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=10)
    parser.add_argument("--observation", type=int, default=831)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--kernels", choices=RUNGS, nargs="+", default=["eager"])
    parser.add_argument("--against", choices=["rllib", "none"], default="rllib")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print a last line of JSON")
    parser.add_argument("--table", action="store_true", help="how the time grows with B, T, H and size")
    asked = parser.parse_args()
    for name, least in LEAST.items():
        if getattr(asked, name) < least:
            parser.error(f"--{name} {getattr(asked, name)}: at least {least}")
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if asked.device == "cpu" and set(asked.kernels) != {"eager"}:
        parser.error("--kernels graph and fused need --device cuda")
    asked.kernels = tuple(dict.fromkeys(asked.kernels))
    work = Work(**{field.name: getattr(asked, field.name) for field in fields(Work)})
    if "fused" in work.kernels and work.why_not_fused and not asked.table:
        parser.error(f"--kernels fused: {work.why_not_fused} (--dtype, --batch, --length, --horizon, --size)")
    torch.backends.cuda.matmul.allow_tf32 = work.dtype == "tf32"  # for RLlib's side too
    if asked.table:
        print_growth(work, asked.repeats)
        return
    row = measure(work, asked.repeats, against_rllib=asked.against == "rllib")
    told = row | {"parts": "".join(f"\n{ms:>16.3f}  ms {part}" for part, ms in row["parts"].items()) or None}
    print("\n".join(f"{name:>16}  {'-' if value is None else value}" for name, value in told.items()))
    if asked.json:
        print(json.dumps(row))


def measure(work: Work, repeats: int, *, against_rllib: bool) -> dict[str, Any]:
    """The figures of one work; the sides take turns, so that a busy machine slows them alike."""
    *others, last = work.kernels
    fast = FastSide(work, last)
    fast()
    startup = time.time() - psutil.Process(os.getpid()).create_time()
    gpu_bytes = launches = None
    if work.device == "cuda":
        for _ in range(WARM_UP):
            fast()
        gpu_bytes, launches = torch.cuda.max_memory_reserved(), count_launches(fast)
    rungs = {rung: FastSide(work, rung) for rung in others} | {last: fast}
    best, medians = in_turn({**rungs, "rllib": rllib_side(work)} if against_rllib else rungs, repeats)
    return {
        "rllib_ms": None,
        "fast_ms": medians[last],
        "fast_best_ms": best[last],
        **{f"{name}_ms": ms for name, ms in medians.items()},
        **{f"{name}_best_ms": ms for name, ms in best.items()},
        "ratio": round(medians["rllib"] / medians[last], 2) if against_rllib else None,
        "startup_s": round(startup, 2),
        "launches": launches,
        "gpu_bytes": gpu_bytes,
        "parts": rungs["fused"].parts() if "fused" in rungs else {},
        **vars(work),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def in_turn(sides: Mapping[str, Callable[[], float]], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """The least and the median milliseconds of each side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(WARM_UP + repeats):
        for name, side in sides.items():
            taken = side()
            if repeat >= WARM_UP:
                seconds[name].append(taken)
    return (
        {name: round(1e3 * min(taken), 2) for name, taken in seconds.items()},
        {name: round(1e3 * statistics.median(taken), 2) for name, taken in seconds.items()},
    )


def count_launches(side: Callable[[], float]) -> int:
    """What the host launches in one update: kernels, copies, fills and graphs, moving the batch included."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as seen:
        side()
    launching = ("LaunchKernel", "Memcpy", "Memset", "GraphLaunch")
    calls = [event for event in seen.key_averages() if event.key.startswith("cu")]
    return sum(event.count for event in calls if any(word in event.key for word in launching))


def print_growth(work: Work, repeats: int) -> None:
    print(f"ms an update, median of {repeats}; the rest is {vars(work)}")
    for name, values in TABLE.items():
        cells = []
        more = GPU_SIZES if name == "size" and work.device == "cuda" else ()
        for value in (*values, *more):
            row = growth(replace(work, **{name: value}), repeats)
            cells.append(f"{value}: " + " / ".join(f"{row[rung]:.1f}" if rung in row else "-" for rung in work.kernels))
        print(f"{name:>8}  " + "   ".join(cells))


def growth(work: Work, repeats: int) -> dict[str, float]:
    """Milliseconds by rung, of those that fit."""
    rungs = tuple(rung for rung in work.kernels if rung != "fused" or not work.why_not_fused)
    row = measure(replace(work, kernels=rungs), repeats, against_rllib=False) if rungs else {}
    return {rung: row[f"{rung}_ms"] for rung in rungs}


if __name__ == "__main__":
    main()
