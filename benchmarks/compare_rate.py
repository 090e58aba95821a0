"""Time and memory of a comparison of generated runs.

    python benchmarks/compare_rate.py [--runs 100 1000] [--rows 2000] [--keep FOLDER]

A seeded generator writes the runs into a temporary folder (1,000 runs of 2,000 rows take 3 GB): 12 settings, all
columns of a run, an evaluation every 100 rows. `python -m dreamer_exp.compare` compares them once; its wall time, its
CPU time and the peak memory of all its processes are printed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import yaml

from dreamer_exp.rundir.metric_names import ROW

SETTINGS = [(ratio, batch) for ratio in (32, 64, 128, 256) for batch in (4, 8, 16)]
COLUMNS = [name for name in ROW if name not in ("iteration", "env_steps", "time/total_s")]
STEPS_A_ROW = 128
EPISODES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--keep", type=Path, help="folder for the runs; runs of an earlier call are used again")
    options = parser.parse_args()
    print(f"{'runs':>6} {'rows each':>10} {'MB read':>9} {'seconds':>8} {'CPU s':>8} {'peak MB':>8}")
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.keep or Path(temporary)) / f"{runs}_runs"
            if not folder.exists():
                write_sweep(folder, runs, options.rows)
            read = sum(path.stat().st_size for path in folder.glob("*/*.jsonl")) / 1e6
            seconds, processor, peak = measure(folder, Path(temporary) / "out")
            print(f"{runs:6} {options.rows:10} {read:9.0f} {seconds:8.2f} {processor:8.2f} {peak:8.0f}", flush=True)


def measure(folder: Path, out: Path) -> tuple[float, float, float]:
    """Return wall and CPU seconds of one command, and the peak memory of all its processes in MB."""
    start, before, peak = time.perf_counter(), processor_seconds(), 0.0
    command = [sys.executable, "-m", "dreamer_exp.compare", str(folder), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, sum(map(resident, [watched, *children(watched)])))
            time.sleep(0.1)  # sampling slows the command down
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"the comparison failed with {process.returncode}")
    return seconds, processor_seconds() - before, peak / 1e6


def processor_seconds() -> float:
    """Return the CPU seconds of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0.0


def write_sweep(folder: Path, runs: int, rows: int) -> None:
    """Write run directories with the files that a comparison reads; the settings alternate."""
    generator = np.random.default_rng(0)
    for run in range(runs):
        ratio, batch = SETTINGS[run % len(SETTINGS)]
        keys = {"training_ratio": float(ratio), "batch_size_B": batch, "horizon_H": 15}
        write_run(folder / f"{run}_ratio={ratio},batch={batch}", keys, run // len(SETTINGS), rows, generator)


def write_run(root: Path, algo: dict[str, float], seed: int, rows: int, generator: np.random.Generator) -> None:
    root.mkdir(parents=True)
    keys = {"run": {"id": "generated", "seed": seed}, "env": {"name": "crowd_nav", "scenario": "open"}}
    ratio = algo["training_ratio"]
    others = {f"option_{number}": number for number in range(60)}  # as many keys as an experiment has
    (root / "experiment.yaml").write_text(yaml.safe_dump({**keys, "algo": algo, "other": others}))
    (root / "status.json").write_text(json.dumps({"state": "finished", "host": "elsewhere", "pid": 1, "error": None}))
    versions = {"git": {"commit": "0" * 40, "dirty": False}, "packages": {"torch": "2.13.0"}}
    (root / "provenance.json").write_text(json.dumps(versions))
    noise = generator.normal(size=(rows, len(COLUMNS)))
    noise[:, COLUMNS.index("episode_return_window")] += np.linspace(0, ratio / 8, rows)
    with open(root / "result.jsonl", "w", encoding="utf-8") as file:
        for number, values in enumerate(noise.tolist(), 1):
            row = {"iteration": number, "env_steps": number * STEPS_A_ROW, **dict(zip(COLUMNS, values, strict=True))}
            file.write(json.dumps({**row, "time/total_s": number * 1.5}) + "\n")
    with open(root / "evaluation.jsonl", "w", encoding="utf-8") as file:
        for number in range(0, rows + 1, 100):
            won = generator.random(EPISODES) < number / rows * (0.4 + ratio / 512)
            file.write(json.dumps(evaluation(number * STEPS_A_ROW, won.tolist())) + "\n")


def evaluation(env_steps: int, won: list[bool]) -> dict[str, object]:
    episode = {"episode_return": 1.0, "length": 100, "scenario": "open", "seed": 1, "path_length": 2.5, "time_s": 20.0}
    return {
        "policy": "dreamerv3",
        "env_steps": env_steps,
        "episodes": len(won),
        "return_mean": sum(won) / len(won),
        "success_rate": sum(won) / len(won),
        "outcomes": [{**episode, "outcome": "success" if one else "timeout"} for one in won],
    }


if __name__ == "__main__":
    main()
