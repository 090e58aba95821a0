"""Measure the updates of several seeds that share a GPU in one process: one CUDA graph and one stream for each seed.

    python benchmarks/seeds_together.py [--seeds 1 2 4] [--size XS] [--batch 16] [--length 64] [--horizon 15]
        [--dtype bfloat16] [--repeats 40] [--device cuda|cpu]

Each seed has its own weights, optimiser and noise. A scan's programs have to be resident at the same time, so each of k
seeds gets the programs of a GPU with a k-th of the multiprocessors. `in all` is the updates per second of all seeds
together, and `gain` their ratio to one seed alone; training four seeds in one process pays from a gain of about 2.
The upper bound is a single network with a batch as large as those of all seeds: it reads its weights once. On a CPU the
seeds take turns, which only tries the script out.
"""

import argparse
import statistics
import time

import torch
from update_sides import Work, dreamerv3_batch, eager_update, staged, to

from dreamer_exp.algorithms.dreamerv3.backends.cuda_graph import EAGER_CALLS, CudaGraphUpdate
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.select import programs_on
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

Update = CudaGraphUpdate | EagerUpdate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--size", choices=list(SIZES), default="XS")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--horizon", type=int, default=15)
    parser.add_argument("--dtype", choices=["tf32", "bfloat16"], default="bfloat16")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    work = Work(options.size, options.batch, options.length, options.horizon, 831, options.device, options.dtype, ())
    alone = None
    for seeds in options.seeds:
        seconds = measure(work, seeds, options.repeats)
        rate = seeds / seconds
        alone = alone or rate / seeds
        print(f"{seeds} seeds: {1e3 * seconds:6.2f} ms a round, {rate:7.1f} updates/s in all, gain {rate / alone:.2f}")
    most = max(options.seeds)
    wide = Work(options.size, most * options.batch, *vars_of(work))
    seconds = measure(wide, 1, options.repeats)
    gain = most / seconds / alone
    print(f"upper bound for {most} seeds: {1e3 * seconds:.2f} ms for batch {wide.batch}, gain {gain:.2f}")


def vars_of(work: Work) -> tuple[int, int, int, str, str, tuple[str, ...]]:
    return work.length, work.horizon, work.observation, work.device, work.dtype, work.backends


def measure(work: Work, seeds: int, repeats: int) -> float:
    """Return the median seconds of a round in which each seed makes one update."""
    device = torch.device(work.device)
    updates = [make_update(work, seeds) for _ in range(seeds)]
    batches = [to(staged(dreamerv3_batch(work, SIZES[work.size]), device), device) for _ in updates]
    streams = [torch.cuda.Stream() if work.device == "cuda" else None for _ in updates]
    for _ in range(EAGER_CALLS + 2):  # the graphs are captured one after the other
        for update, batch in zip(updates, batches, strict=True):
            update(batch)
    rounds = []
    for _ in range(repeats):
        synchronise(work.device)
        started = time.perf_counter()
        make_round(updates, batches, streams)
        synchronise(work.device)
        rounds.append(time.perf_counter() - started)
    return statistics.median(rounds)


def make_update(work: Work, seeds: int) -> Update:
    """Return the update of a new network, with a share of the GPU's programs."""
    update = eager_update(work)
    if work.device == "cpu":
        return update
    from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate

    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count // seeds
    programs = programs_on(multiprocessors, work.batch, SIZES[work.size].deter)
    fused = FusedUpdate(update, Precision.of(work.dtype), work.shape, programs, persistent=True)
    fused.trial_update()
    return CudaGraphUpdate(fused)


def make_round(updates: list[Update], batches: list[Batch], streams: "list[torch.cuda.Stream | None]") -> None:
    for update, batch, stream in zip(updates, batches, streams, strict=True):
        with torch.cuda.stream(stream):  # None leaves the current one
            update(batch)


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
