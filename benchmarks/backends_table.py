"""Table of the backends of `algo.backend` on a machine: updates on every backend, start-up, and a complete run.

    python benchmarks/backends_table.py [--device cuda|cpu] [--sizes XS 12M] [--batches 16 32] [--length 64]
        [--horizon 15] [--dtype bfloat16] [--against rllib|none] [--repeats 15] [--seconds 120] [--runners 10]
        [--environments 8]

Each size and batch is one call of update_time.py, in which the backends and RLlib's learner alternate; its sections are
those of the fused backend. Start-up is the time from the start of a process to its first finished update, first with an
empty Triton cache, then with everything compiled. The complete run is the printed command, stopped by Ctrl-C after that
many seconds of learning; its rates leave out the first fifth of its iterations.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from update_sides import BACKENDS

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

UPDATE_TIME = Path(__file__).with_name("update_time.py")
FEWEST = 5  # iterations of a whole run
LONGEST = 900.0  # seconds that a process may take before its first row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--sizes", choices=list(SIZES), nargs="+", default=["XS", "12M"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--horizon", type=int, default=15)
    parser.add_argument("--dtype", choices=["float32", "tf32", "bfloat16"], default="bfloat16")
    parser.add_argument("--against", choices=["rllib", "none"], default="rllib")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the whole run; 0 leaves it out")
    parser.add_argument("--runners", type=int, default=10, help="env runners of the whole run")
    parser.add_argument("--environments", type=int, default=8, help="of each of its runners")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    console = Console()
    name = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    console.print(f"{name}, {len(os.sched_getaffinity(0))} CPU cores, torch {torch.__version__}")
    backends = BACKENDS if asked.device == "cuda" else BACKENDS[:1]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        start = argparse.Namespace(**vars(asked) | {"against": "none", "repeats": 1})
        first, again = (update(start, asked.sizes[0], asked.batches[0], backends[-1:])["startup_s"] for _ in range(2))
        console.print(f"start to first update: {first} s with nothing compiled, {again} s after that")
        rows = [update(asked, size, batch, backends) for size in asked.sizes for batch in asked.batches]
    show(console, asked, rows)
    if asked.seconds:
        with tempfile.TemporaryDirectory() as folder:
            console.print(whole_run(asked, Path(folder) / "run", console))


def update(asked: argparse.Namespace, size: str, batch: int, backends: tuple[str, ...]) -> dict[str, Any]:
    """Return the row of update_time.py for one size and batch."""
    words = ["--size", size, "--batch", str(batch), "--length", str(asked.length), "--horizon", str(asked.horizon),
             "--device", asked.device, "--dtype", asked.dtype, "--against", asked.against,
             "--repeats", str(asked.repeats), "--json", "--backends", *backends]  # fmt: skip
    child = subprocess.run([sys.executable, str(UPDATE_TIME), *words], check=False, stdout=subprocess.PIPE, text=True)
    if child.returncode < 0:
        raise SystemExit(f"update_time.py {shlex.join(words)}: killed by {signal.Signals(-child.returncode).name}")
    if child.returncode:
        raise SystemExit(child.returncode)  # it has said why
    row: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return row


def show(console: Console, asked: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Print a table of the medians, and one of the fused backend's sections."""
    of = f"T{asked.length} H{asked.horizon} {asked.dtype}"
    table = Table(title=f"ms an update, {of}, the batch's way to the device included; medians of {asked.repeats}")
    parts = Table(title=f"parts of the fused update, {of}, ms of its main stream")
    parts.add_column("part")
    for heading in ("size", "B", "RLlib XS", *BACKENDS, "RLlib / last", "GPU GiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        ms = [row.get(f"{side}_ms") for side in ("rllib", *BACKENDS)]
        held = row["gpu_bytes"] and row["gpu_bytes"] / 2**30
        cells = (*ms, row["ratio"], held and round(held, 2))
        table.add_row(row["size"], str(row["batch"]), *("-" if cell is None else str(cell) for cell in cells))
        parts.add_column(f"{row['size']} B{row['batch']}", justify="right")
    for part in rows[0]["parts"]:
        parts.add_row(part, *(f"{row['parts'][part]:.3f}" for row in rows))
    console.print(table)
    if parts.row_count:
        console.print(parts)


def whole_run(asked: argparse.Namespace, folder: Path, console: Console) -> str:
    """Return the rates of a complete run, from the rows of its result.jsonl."""
    command = [sys.executable, "-m", "dreamer_exp", f"hardware={asked.device}",
               f"hardware.num_env_runners={asked.runners}", f"hardware.num_envs_per_env_runner={asked.environments}",
               "algo.training_ratio=64", f"algo.batch_length_T={asked.length}", f"algo.horizon_H={asked.horizon}",
               f"algo.batch_size_B={asked.batches[0]}", f"algo.model_size={asked.sizes[0]}",
               f"algo.precision={asked.dtype}", "tracking=none", "evaluation=none", "run.log_level=WARNING",
               "run.train_iterations=1000000", f"hydra.run.dir={folder}"]  # fmt: skip
    console.print(f"[dim]{shlex.join(['python', *command[1:-1]])}[/dim]", highlight=False)
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rows = folder / "result.jsonl"
    waited = time.monotonic()
    while run.poll() is None and not rows.exists() and time.monotonic() < waited + LONGEST:
        time.sleep(0.2)
    try:
        run.wait(asked.seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=LONGEST)[1]
    if run.returncode != 128 + signal.SIGINT:
        raise SystemExit(f"the run ended by itself with {run.returncode}: {said.strip()[-500:]}")
    seen = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    if len(seen) < FEWEST:
        raise SystemExit(f"--seconds {asked.seconds:g}: the run made {len(seen)} iterations, a rate wants {FEWEST}")
    before, last = seen[len(seen) // 5], seen[-1]
    seconds = last["time/total_s"] - before["time/total_s"]
    steps, updates = last["env_steps"] - before["env_steps"], last["updates"] - before["updates"]
    busy = sum(row["time/update_s"] for row in seen[len(seen) // 5 + 1 :]) / seconds
    return (
        f"whole run, {seconds:.0f} s: {steps / seconds:,.0f} env steps/s, {updates / seconds:.1f} updates/s, "
        f"{busy:.0%} of the time updating"
    )


if __name__ == "__main__":
    main()
