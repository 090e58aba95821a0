"""Milliseconds of a training update, and env steps per second of acting on one core, by encoder of the observation.

    python benchmarks/encoder_times.py [--device cpu|cuda] [--precision float32|tf32|bfloat16] [--batch 16]
        [--length 64] [--horizon 15] [--cases SIZE:ENCODER ...] [--backends eager|cuda_graph|fused ...] [--repeats N]
        [--acting N] [--memory N] [--json]

Encoders: `flat` is one MLP for 831 numbers, and `lidar` reads 816 of them as three scans of 272 bearings. `grid` reads
Robot SF's 3 x 160 x 160 cells as a grid, next to 288 other numbers. Every update draws a batch from a replay in host
memory and stores the new latents there, as in a run; the sides of a size take turns, values are medians after a
warm-up. `MiB` is what torch reserves on the GPU for a side. `sections` are those of the fused backend. --acting N
measures one env runner with N environments of crowd_nav. --memory N allocates a replay of N steps with the grid, and
fills a tenth of it.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import torch
from acting_rate import make_run, make_runner, timed_rate, use_one_core
from update_sides import ACTIONS, BACKENDS, timed

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.cuda_graph import CudaGraphUpdate
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.select import select_backend
from dreamer_exp.algorithms.dreamerv3.losses import LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.steps import Steps
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

FLAT, GRID = "flat", "grid"
PARTS = {
    FLAT: (Part("observation", "vector", (831,), 0, 831),),
    "lidar": (Part("drive_state", "vector", (3, 5), 0, 15), Part("rays", "lidar", (3, 272), 15, 831)),
    GRID: (
        Part("state", "vector", (288,), 0, 288),
        Part("occupancy_grid", "grid", (3, 160, 160), 288, 77_088, "bernoulli"),
    ),
}
ENCODERS = {FLAT: "vector", "lidar": "lidar"}  # of crowd_nav's rays
WARM_UP = 5  # updates; the graph is captured in the fourth
STREAMS, CHUNK = 16, 250  # environments of a replay, and the steps that they add at a time


def main() -> None:
    options = parse_arguments()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    torch.backends.cudnn.deterministic = True
    rows = []
    for row in measurements(options):
        rows.append(row)
        print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
    if options.json:
        print(json.dumps(rows))


def measurements(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for size in dict.fromkeys(size for size, _ in options.cases):
        encoders = [encoder for other, encoder in options.cases if other == size]
        yield from measure_updates(size, encoders, options)
    if options.memory:
        yield measure_memory(options.memory)
    if options.acting:
        use_one_core()
        yield from measure_acting(options.acting, options.repeats)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--horizon", type=int, default=15)
    parser.add_argument(
        "--cases", nargs="*", type=case, default=[("XS", FLAT), ("XS", "lidar")], metavar="SIZE:ENCODER"
    )
    parser.add_argument("--backends", choices=BACKENDS, nargs="+", default=["eager"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--acting", type=int, default=0, help="environments of a runner; 0 leaves it out")
    parser.add_argument("--memory", type=int, default=0, help="steps of the replay; 0 leaves it out")
    parser.add_argument("--json", action="store_true", help="also print JSON, as the last line")
    return parser.parse_args()


def case(text: str) -> tuple[str, str]:
    size, _, encoder = text.partition(":")
    if size not in SIZES or encoder not in PARTS:
        raise argparse.ArgumentTypeError(f"{text}: one of {', '.join(SIZES)}, then one of {', '.join(PARTS)}")
    return size, encoder


class Side:
    """A callable that draws a batch, makes one update and stores the latents, and returns its seconds."""

    def __init__(self, size: str, encoder: str, backend: str, options: argparse.Namespace) -> None:
        self.device, self.shape = torch.device(options.device), (options.batch, options.length)
        before = reserved()
        update = make_update(size, encoder, options)
        self.selected = select_backend(update, backend, options.precision, self.shape)
        self.replay = make_replay(size, encoder, STREAMS * 2 * (options.length + 1), self.device)
        while not self.replay.ready(*self.shape):
            fill(self.replay, encoder, 2 * (options.length + 1))
        for _ in range(WARM_UP):
            self()
        self.mib = round((reserved() - before) / 2**20)
        self.row = {"size": size, "encoder": encoder, "backend": self.selected.name, "why": self.selected.why or "-"}

    def __call__(self) -> float:
        return timed(self._once, self.device.type)

    def sections(self) -> dict[str, float]:
        """Return the milliseconds of the fused backend's main stream by section."""
        from dreamer_exp.algorithms.dreamerv3.backends.fused.profiling import sections

        assert isinstance(self.selected.update, CudaGraphUpdate)
        return sections(self.selected.update.update, self.replay.sample(*self.shape)[0])  # type: ignore[arg-type]

    def _once(self) -> None:
        batch, places = self.replay.sample(*self.shape)
        _, states = self.selected.update(batch)
        self.replay.write_back(places, states)


def measure_updates(size: str, encoders: list[str], options: argparse.Namespace) -> list[dict[str, Any]]:
    sides = [Side(size, encoder, backend, options) for encoder in encoders for backend in options.backends]
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(options.repeats):
        for side, taken in zip(sides, seconds, strict=True):
            taken.append(side())
    rows = []
    for side, taken in zip(sides, seconds, strict=True):
        row = {**side.row, "ms": round(1e3 * statistics.median(taken), 2), "best_ms": round(1e3 * min(taken), 2)}
        row |= {"MiB": side.mib, "replay_bytes_per_step": side.replay.bytes_per_step}
        if side.selected.name == "fused":
            row["sections"] = {name: round(ms, 2) for name, ms in side.sections().items()}
        rows.append(row)
    return rows


def make_update(size: str, encoder: str, options: argparse.Namespace) -> EagerUpdate:
    torch.manual_seed(0)
    parts, device = PARTS[encoder], torch.device(options.device)
    kinds = () if encoder == FLAT else parts
    agent = Agent(SIZES[size], parts[-1].stop, ActionKind(ACTIONS, discrete=False), parts=kinds).to(device)
    return EagerUpdate(
        agent=agent,
        optimizer=LaProp([parameter for parameter in agent.parameters() if parameter.requires_grad]),
        returns=ReturnRange(torch.zeros((), device=device), torch.zeros((), device=device)),
        config=LossConfig(horizon_H=options.horizon),
        generator=torch.Generator(device).manual_seed(0),
        bfloat16=options.precision == "bfloat16",
    )


def make_replay(size: str, encoder: str, capacity: int, target: torch.device) -> LatentReplay:
    parts = PARTS[encoder]
    return LatentReplay(
        capacity=capacity, num_streams=STREAMS, observation_size=parts[-1].stop, actions=ACTIONS, size=SIZES[size],
        parts=() if encoder == FLAT else parts, seed=0, target=target,
    )  # fmt: skip


def fill(replay: LatentReplay, encoder: str, count: int) -> None:
    """Add so many steps to each environment."""
    rng, size = np.random.default_rng(0), replay.size
    observation = rng.random((count, PARTS[encoder][-1].stop), np.float32)
    if encoder == GRID:
        observation[:, PARTS[GRID][0].stop :].round(out=observation[:, PARTS[GRID][0].stop :])
    blank = np.zeros(count, np.bool_)
    steps = Steps(
        observation=observation,
        action=rng.uniform(-1, 1, (count, ACTIONS)).astype(np.float32),
        reward=rng.random(count, np.float32),
        is_first=blank, is_last=blank, is_terminal=blank,
        deter=np.zeros((count, size.deter), np.float16),
        stoch=np.zeros((count, size.stoch), np.uint8),
    )  # fmt: skip
    for stream in range(STREAMS):
        replay.add(stream, steps)


def measure_memory(steps: int) -> dict[str, Any]:
    before = psutil.Process().memory_info().rss
    replay = make_replay("S", GRID, steps, torch.device("cpu"))
    while len(replay) < steps // 10:
        fill(replay, GRID, min(CHUNK, steps // 10 // STREAMS))
    resident = psutil.Process().memory_info().rss - before
    return {
        "replay_steps": steps, "bytes_per_step": replay.bytes_per_step, "GiB": round(replay.nbytes / 2**30, 2),
        "steps_filled": len(replay), "GiB_resident_with_them": round(resident / 2**30, 2),
    }  # fmt: skip


def measure_acting(envs: int, repeats: int) -> list[dict[str, Any]]:
    runs: dict[str, Callable[[], int]] = {
        encoder: make_run(make_runner("dreamerv3", envs, f"obs_contract.encoders={{rays: {kind}}}"), 640)
        for encoder, kind in ENCODERS.items()
    }
    rates: dict[str, list[float]] = {encoder: [] for encoder in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for encoder, run in runs.items():
            rates[encoder].append(timed_rate(run))
    medians = {encoder: statistics.median(taken) for encoder, taken in rates.items()}
    return [
        {"acting": encoder, "envs": envs, "env_steps_per_s": round(rate), "of_flat": round(rate / medians[FLAT], 2)}
        for encoder, rate in medians.items()
    ]


def reserved() -> int:
    if not torch.cuda.is_available():
        return 0
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


if __name__ == "__main__":
    main()
