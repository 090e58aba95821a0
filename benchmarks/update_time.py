"""Milliseconds of one training update, the fast learner's and RLlib's, alternating in one process.

    python benchmarks/update_time.py [--size XS] [--batch 16] [--length 32] [--horizon 10] [--observation 831]
        [--device cpu|cuda] [--dtype float32|tf32|bfloat16] [--kernels eager|graph] [--against rllib|none] [--repeats N]
        [--json] [--table]

Every update gets a fresh random batch, made beforehand in host memory and moved to the device inside the timing: ours
from pinned memory, where our replay puts it (dreamer/fast/staging.py), RLlib's by its learner from where its replay
leaves it. Medians after warm-up, the device synchronised. RLlib's side is always its model size
XS, which XS here has as many parameters as. `startup_s` is from the process's start to the fast learner's first
finished update, imports included. --table varies one of B, T, H and size at a time, without RLlib.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import psutil
import torch

from dreamer_exp.config.sizes import SIZES, NetworkSize
from dreamer_exp.dreamer.fast.actor import ActionKind
from dreamer_exp.dreamer.fast.agent import Agent
from dreamer_exp.dreamer.fast.laprop import LaProp
from dreamer_exp.dreamer.fast.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.dreamer.fast.rssm import State
from dreamer_exp.dreamer.fast.update import Update
from dreamer_exp.dreamer.fast.watch import batch_of, tensors

ACTIONS = 2
WARM_UP = 4  # the graph is captured in the fourth call
TABLE = {  # what --table varies, the rest being as asked
    "batch": (4, 8, 16, 32),
    "length": (16, 32, 64),
    "horizon": (5, 10, 15),
    "size": ("XS", "1M", "12M"),
}
GPU_SIZES = ("25M", "50M", "100M", "200M")


@dataclass(frozen=True)
class Work:
    """What is timed."""

    size: str
    batch: int
    length: int
    horizon: int
    observation: int
    device: str
    dtype: str
    kernels: str

    @property
    def shape(self) -> tuple[int, int]:
        return self.batch, self.length


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="XS")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=10)
    parser.add_argument("--observation", type=int, default=831)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "tf32", "bfloat16"], default="float32")
    parser.add_argument("--kernels", choices=["eager", "graph"], default="eager")
    parser.add_argument("--against", choices=["rllib", "none"], default="rllib")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print a last line of JSON")
    parser.add_argument("--table", action="store_true", help="how the time grows with B, T, H and size")
    asked = parser.parse_args()
    work = Work(**{field.name: getattr(asked, field.name) for field in fields(Work)})
    torch.backends.cuda.matmul.allow_tf32 = work.dtype == "tf32"  # for RLlib's side too
    if asked.table:
        print_growth(work, asked.repeats)
        return
    row = measure(work, asked.repeats, against_rllib=asked.against == "rllib")
    print("\n".join(f"{name:>16}  {'-' if value is None else value}" for name, value in row.items()))
    if asked.json:
        print(json.dumps(row))


def measure(work: Work, repeats: int, *, against_rllib: bool) -> dict[str, Any]:
    """The figures of one work; the two sides take turns, so that a busy machine slows them alike."""
    sides = {"fast": fast_side(work)}
    sides["fast"]()
    startup = time.time() - psutil.Process(os.getpid()).create_time()
    gpu_bytes = launches = None
    if work.device == "cuda":
        for _ in range(WARM_UP):
            sides["fast"]()
        gpu_bytes, launches = torch.cuda.max_memory_reserved(), count_launches(sides["fast"])
    if against_rllib:
        sides["rllib"] = rllib_side(work)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(WARM_UP + repeats):
        for name, side in sides.items():
            taken = side()
            if repeat >= WARM_UP:
                seconds[name].append(taken)
    medians = {name: 1e3 * statistics.median(taken) for name, taken in seconds.items()}
    row = {f"{name}_ms": round(median, 2) for name, median in medians.items()}
    row |= {f"{name}_best_ms": round(1e3 * min(taken), 2) for name, taken in seconds.items()}
    return {
        "rllib_ms": None,
        **row,
        "ratio": round(medians["rllib"] / medians["fast"], 2) if against_rllib else None,
        "startup_s": round(startup, 2),
        "launches": launches,
        "gpu_bytes": gpu_bytes,
        **vars(work),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def fast_side(work: Work) -> Callable[[], float]:
    """A function that makes one update of the fast learner and returns its seconds."""
    torch.manual_seed(0)
    device, size = torch.device(work.device), SIZES[work.size]
    agent = Agent(size, work.observation, ActionKind(ACTIONS, discrete=False)).to(device)
    update: Any = Update(
        agent=agent,
        optimizer=LaProp([parameter for parameter in agent.parameters() if parameter.requires_grad]),
        returns=ReturnRange(torch.zeros((), device=device), torch.zeros((), device=device)),
        config=LossConfig(horizon_H=work.horizon),
        generator=torch.Generator(device).manual_seed(0),
        bfloat16=work.dtype == "bfloat16",
    )
    if work.kernels == "graph":
        from dreamer_exp.dreamer.fast.graph import GraphedUpdate

        update = GraphedUpdate(update)

    def once() -> float:
        batch = staged(fast_batch(work, size), device)
        return timed(lambda: update(to(batch, device)), work.device)

    return once


def fast_batch(work: Work, size: NetworkSize) -> Batch:
    numbers = random_numbers(work)
    classes = torch.randint(size.classes, (work.batch, size.stoch))
    latent = torch.nn.functional.one_hot(classes, size.classes).flatten(1).float()
    return Batch(
        observation=torch.from_numpy(numbers["obs"]),
        action=torch.from_numpy(numbers["actions"]),
        previous_action=torch.rand(work.batch, ACTIONS) * 2 - 1,
        reward=torch.from_numpy(numbers["rewards"]),
        is_first=torch.from_numpy(numbers["is_first"]),
        is_last=torch.from_numpy(numbers["is_last"]),
        is_terminal=torch.from_numpy(numbers["is_terminated"]),
        carry=State(torch.tanh(torch.randn(work.batch, size.deter)), latent),
    )


def staged(batch: Batch, device: torch.device) -> Batch:
    """The batch where the replay would hold it for this device."""
    pinned = device.type == "cuda"
    return batch_of({name: tensor.pin_memory() if pinned else tensor for name, tensor in tensors(batch).items()})


def to(batch: Batch, device: torch.device) -> Batch:
    return batch_of({name: tensor.to(device, non_blocking=True) for name, tensor in tensors(batch).items()})


def rllib_side(work: Work) -> Callable[[], float]:
    """The same for RLlib's own DreamerV3 learner, as `algo.train()` calls it."""
    import gymnasium
    from ray.rllib.algorithms.dreamerv3 import DreamerV3Config
    from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
    from ray.rllib.policy.sample_batch import SampleBatch
    from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

    spaces = (
        gymnasium.spaces.Box(-np.inf, np.inf, (work.observation,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32),
    )
    config = DreamerV3Config().framework("torch").debugging(seed=0, log_level="CRITICAL")
    config.training(
        model_size="XS", batch_size_B=work.batch, batch_length_T=work.length, horizon_H=work.horizon
    ).learners(num_learners=0, num_gpus_per_learner=1 if work.device == "cuda" else 0)
    names = ("default_policy", INPUT_ENV_SPACES, INPUT_ENV_SINGLE_SPACES)
    learner = config.build_learner_group(spaces=dict.fromkeys(names, spaces))

    def once() -> float:
        batch = SampleBatch(random_numbers(work)).as_multi_agent()
        return timed(lambda: learner.update(batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0}), work.device)

    return once


def random_numbers(work: Work) -> dict[str, np.ndarray]:
    """A batch by RLlib's names, (B, T, ...) float32: every sequence begins an episode, none ends."""
    rng = np.random.default_rng()
    starts = np.zeros(work.shape, np.float32)
    starts[:, 0] = 1.0
    return {
        "obs": rng.standard_normal((*work.shape, work.observation), np.float32),
        "actions": rng.uniform(-1, 1, (*work.shape, ACTIONS)).astype(np.float32),
        "rewards": rng.standard_normal(work.shape, np.float32),
        "is_first": starts,
        "is_last": np.zeros(work.shape, np.float32),
        "is_terminated": np.zeros(work.shape, np.float32),
    }


def timed(update: Callable[[], Any], device: str) -> float:
    synchronise(device)
    started = time.perf_counter()
    update()
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


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
            row = measure(Work(**{**vars(work), name: value}), repeats, against_rllib=False)
            cells.append(f"{value}: {row['fast_ms']:.0f}")
        print(f"{name:>8}  " + "   ".join(cells))


if __name__ == "__main__":
    main()
