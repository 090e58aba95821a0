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
MIN_ITERATIONS = 5  # of the complete run
START_TIMEOUT_S = 900.0  # for the first row of the complete run, and for its end


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
    parser.add_argument("--seconds", type=float, default=120.0, help="of learning in the complete run; 0 skips it")
    parser.add_argument("--runners", type=int, default=10, help="env runners of the complete run")
    parser.add_argument("--environments", type=int, default=8, help="environments of each env runner")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    console = Console()
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    console.print(f"{name}, {len(os.sched_getaffinity(0))} CPU cores, torch {torch.__version__}")
    backends = BACKENDS if options.device == "cuda" else BACKENDS[:1]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRITON_CACHE_DIR"] = folder
        start = argparse.Namespace(**vars(options) | {"against": "none", "repeats": 1})
        size, batch = options.sizes[0], options.batches[0]
        cold, warm = (update(start, size, batch, backends[-1:])["startup_s"] for _ in range(2))
        console.print(f"start to first update: {cold} s with an empty compile cache, {warm} s with a filled one")
        rows = [update(options, size, batch, backends) for size in options.sizes for batch in options.batches]
    show(console, options, rows)
    if options.seconds:
        with tempfile.TemporaryDirectory() as folder:
            console.print(complete_run(options, Path(folder) / "run", console))


def update(options: argparse.Namespace, size: str, batch: int, backends: tuple[str, ...]) -> dict[str, Any]:
    """Return the row of update_time.py for one size and batch."""
    words = ["--size", size, "--batch", str(batch), "--length", str(options.length), "--horizon", str(options.horizon),
             "--device", options.device, "--dtype", options.dtype, "--against", options.against,
             "--repeats", str(options.repeats), "--json", "--backends", *backends]  # fmt: skip
    done = subprocess.run([sys.executable, str(UPDATE_TIME), *words], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode < 0:
        raise SystemExit(f"update_time.py {shlex.join(words)}: killed by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise SystemExit(done.returncode)  # the process has printed the reason
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def show(console: Console, options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Print a table of the medians, and one of the fused backend's sections."""
    case = f"T{options.length} H{options.horizon} {options.dtype}"
    table = Table(title=f"ms per update, {case}, including the copy to the device; medians of {options.repeats}")
    sections = Table(title=f"sections of the fused update, {case}, ms of its main stream")
    sections.add_column("section")
    for heading in ("size", "B", "RLlib XS", *BACKENDS, "RLlib / last", "GPU GiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        ms = [row.get(f"{side}_ms") for side in ("rllib", *BACKENDS)]
        gibibytes = row["gpu_bytes"] and round(row["gpu_bytes"] / 2**30, 2)
        cells = (*ms, row["ratio"], gibibytes)
        table.add_row(row["size"], str(row["batch"]), *("-" if cell is None else str(cell) for cell in cells))
        sections.add_column(f"{row['size']} B{row['batch']}", justify="right")
    for section in rows[0]["sections"]:
        sections.add_row(section, *(f"{row['sections'][section]:.3f}" for row in rows))
    console.print(table)
    if sections.row_count:
        console.print(sections)


def complete_run(options: argparse.Namespace, folder: Path, console: Console) -> str:
    """Return the rates of a complete run, from the rows of its result.jsonl."""
    command = [sys.executable, "-m", "dreamer_exp", f"hardware={options.device}",
               f"hardware.num_env_runners={options.runners}",
               f"hardware.num_envs_per_env_runner={options.environments}",
               "algo.training_ratio=64", f"algo.batch_length_T={options.length}", f"algo.horizon_H={options.horizon}",
               f"algo.batch_size_B={options.batches[0]}", f"algo.model_size={options.sizes[0]}",
               f"algo.precision={options.dtype}", "tracking=none", "evaluation=none", "run.log_level=WARNING",
               "run.train_iterations=1000000", f"hydra.run.dir={folder}"]  # fmt: skip
    console.print(f"[dim]{shlex.join(['python', *command[1:-1]])}[/dim]", highlight=False)
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    rows = folder / "result.jsonl"
    started = time.monotonic()
    while run.poll() is None and not rows.exists() and time.monotonic() < started + START_TIMEOUT_S:
        time.sleep(0.2)
    try:
        run.wait(options.seconds)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
    errors = run.communicate(timeout=START_TIMEOUT_S)[1]
    if run.returncode != 128 + signal.SIGINT:
        raise SystemExit(f"the run ended by itself with {run.returncode}: {errors.strip()[-500:]}")
    iterations = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    if len(iterations) < MIN_ITERATIONS:
        raise SystemExit(
            f"--seconds {options.seconds:g}: the run made {len(iterations)} iterations, a rate needs {MIN_ITERATIONS}"
        )
    before, last = iterations[len(iterations) // 5], iterations[-1]
    seconds = last["time/total_s"] - before["time/total_s"]
    steps, updates = last["env_steps"] - before["env_steps"], last["updates"] - before["updates"]
    busy = sum(row["time/update_s"] for row in iterations[len(iterations) // 5 + 1 :]) / seconds
    return (
        f"complete run, {seconds:.0f} s: {steps / seconds:,.0f} env steps/s, {updates / seconds:.1f} updates/s, "
        f"{busy:.0%} of the time updating"
    )


if __name__ == "__main__":
    main()
