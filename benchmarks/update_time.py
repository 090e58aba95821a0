"""Milliseconds of one training update: `dreamerv3` on each backend, and other learners, alternating in one process.

    python benchmarks/update_time.py [--size XS] [--batch 16] [--length 32] [--horizon 10] [--observation 831]
        [--device cpu|cuda] [--dtype float32|tf32|bfloat16] [--backends eager|cuda_graph|fused ...]
        [--against rllib torchrl danijar|none] [--repeats N] [--json] [--table]

Every update gets a new random batch. It is made in host memory before the timing starts, and copied to the device
within the timing: dreamerv3's from pinned memory, as by its replay (replay/staging.py), RLlib's by its learner. Values
are medians after warm-up, with the device synchronised. RLlib always has its model size XS, which has as many
parameters as XS here; TorchRL's and danijar's have the sizes of --size, and a learner that is not installed is skipped
with a line. `startup_s` is the time from the start of the process to dreamerv3's first finished update, including
imports. With several backends, `dreamerv3_ms`, `ratio`, `startup_s`, `launches` and `gpu_bytes` are those of the last
one; `ratio` is that of the first other learner to it. `sections` are those of the fused backend (which needs --dtype
tf32 or bfloat16): milliseconds of the main stream in its CUDA graph; work on other streams counts while the main stream
waits for it. --table varies one of B, T, H and size at a time, without other learners; "-" marks a combination that the
backend cannot run.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import psutil
import torch
from update_danijar import danijar_side, why_not_danijar
from update_sides import BACKENDS, DreamerV3Side, Work, rllib_side
from update_torchrl import torchrl_side, why_not_torchrl

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

OTHERS = {"rllib": rllib_side, "torchrl": torchrl_side, "danijar": danijar_side}
WHY_NOT: dict[str, Callable[[Work], str]] = {
    "rllib": lambda work: "",
    "torchrl": why_not_torchrl,
    "danijar": why_not_danijar,
}
WARM_UP = 4  # calls; the graph is captured in the fourth
TABLE = {  # values of --table; the other options keep their values
    "batch": (4, 8, 16, 32),
    "length": (16, 32, 64),
    "horizon": (5, 10, 15),
    "size": ("XS", "1M", "12M"),
}
MINIMUM = {"batch": 1, "length": 2, "horizon": 1, "observation": 1, "repeats": 1}
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
    parser.add_argument("--backends", choices=BACKENDS, nargs="+", default=["eager"])
    parser.add_argument("--against", choices=[*OTHERS, "none"], nargs="+", default=["rllib"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print a last line of JSON")
    parser.add_argument("--table", action="store_true", help="print the time for several values of B, T, H and size")
    options = parser.parse_args()
    for name, minimum in MINIMUM.items():
        if getattr(options, name) < minimum:
            parser.error(f"--{name} {getattr(options, name)}: at least {minimum}")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if options.device == "cpu" and set(options.backends) != {"eager"}:
        parser.error("--backends cuda_graph and fused need --device cuda")
    options.backends = tuple(dict.fromkeys(options.backends))
    work = Work(**{field.name: getattr(options, field.name) for field in fields(Work)})
    if "fused" in work.backends and work.why_not_fused and not options.table:
        parser.error(f"--backends fused: {work.why_not_fused} (--dtype, --batch, --length, --horizon, --size)")
    torch.backends.cuda.matmul.allow_tf32 = work.dtype == "tf32"  # for RLlib too
    if options.table:
        print_table(work, options.repeats)
        return
    against = [name for name in dict.fromkeys(options.against) if name != "none"]
    for name in against:
        if why := WHY_NOT[name](work):
            print(f"{name} skipped: {why}", flush=True)
    row = measure(work, options.repeats, [name for name in against if not WHY_NOT[name](work)])
    sections = "".join(f"\n{ms:>16.3f}  ms {section}" for section, ms in row["sections"].items()) or None
    lines = [f"{name:>16}  {'-' if value is None else value}" for name, value in (row | {"sections": sections}).items()]
    print("\n".join(lines))
    if options.json:
        print(json.dumps(row))


def measure(work: Work, repeats: int, against: Sequence[str] = ()) -> dict[str, Any]:
    """Return the row of one work; the sides alternate, so that load on the machine affects all of them."""
    *others, last = work.backends
    ours = DreamerV3Side(work, last)
    ours()
    startup = time.time() - psutil.Process(os.getpid()).create_time()
    gpu_bytes = launches = None
    if work.device == "cuda":
        for _ in range(WARM_UP):
            ours()
        gpu_bytes, launches = torch.cuda.max_memory_reserved(), count_launches(ours)
    backends = {backend: DreamerV3Side(work, backend) for backend in others} | {last: ours}
    best, medians = alternate({**backends, **{name: OTHERS[name](work) for name in against}}, repeats)
    return {
        "rllib_ms": None,
        "dreamerv3_ms": medians[last],
        "dreamerv3_best_ms": best[last],
        **{f"{name}_ms": ms for name, ms in medians.items()},
        **{f"{name}_best_ms": ms for name, ms in best.items()},
        "ratio": round(medians[against[0]] / medians[last], 2) if against else None,
        "startup_s": round(startup, 2),
        "launches": launches,
        "gpu_bytes": gpu_bytes,
        "sections": backends["fused"].sections() if "fused" in backends else {},
        **vars(work),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def alternate(sides: Mapping[str, Callable[[], float]], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shortest and the median milliseconds of each side."""
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
    """Return the launches of one update: kernels, copies, fills and graphs, including the copy of the batch."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as seen:
        side()
    launching = ("LaunchKernel", "Memcpy", "Memset", "GraphLaunch")
    calls = [event for event in seen.key_averages() if event.key.startswith("cu")]
    return sum(event.count for event in calls if any(word in event.key for word in launching))


def print_table(work: Work, repeats: int) -> None:
    print(f"ms per update, median of {repeats}; other values: {vars(work)}")
    for name, values in TABLE.items():
        cells = []
        more = GPU_SIZES if name == "size" and work.device == "cuda" else ()
        for value in (*values, *more):
            row = milliseconds(replace(work, **{name: value}), repeats)
            cells.append(
                f"{value}: " + " / ".join(f"{row[backend]:.1f}" if backend in row else "-" for backend in work.backends)
            )
        print(f"{name:>8}  " + "   ".join(cells))


def milliseconds(work: Work, repeats: int) -> dict[str, float]:
    """Return the milliseconds by backend, for those that can run this work."""
    backends = tuple(backend for backend in work.backends if backend != "fused" or not work.why_not_fused)
    row = measure(replace(work, backends=backends), repeats) if backends else {}
    return {backend: row[f"{backend}_ms"] for backend in backends}


if __name__ == "__main__":
    main()
