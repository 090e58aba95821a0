"""Train both algorithms on three tasks, and write their learning curves as CSV and PNG.

    python benchmarks/learning_curves.py --tasks cartpole pendulum open --algorithms dreamerv3 dreamerv3_rllib
        --seeds 1 2 3 [--minutes 9] [--device cpu|cuda] [--out benchmarks/results] [--runs FOLDER] [OVERRIDE ...]

Each run is an experiment preset with `algo=ALGORITHM run.seed=SEED` on its own CPU cores, stopped after the given
minutes. On a CPU there are as many runs at once as cores, on a GPU all run at once. The policy is evaluated on 20 fixed
seeds every 2,000 env steps. The result is learning_TASK.csv and .png for each task, with one row for each evaluation;
the first lines of the CSV give the command and the hardware.
"""

import argparse
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

from dreamer_exp.hardware import probe
from dreamer_exp.monitoring.summary import LEARNER

mpl.use("Agg")
import matplotlib.pyplot as plt

PRESETS = {"cartpole": "cartpole", "pendulum": "pendulum", "open": "quickstart"}
GOALS = {"cartpole": ("return_mean", 450.0), "pendulum": ("return_mean", -250.0), "open": ("success_rate", 0.9)}
COLUMNS = ("algorithm", "seed", "env_steps", "updates", "wall_time_s", "return_mean", "success_rate")
COLOURS = {"dreamerv3": "tab:blue", "dreamerv3_rllib": "tab:orange"}
RATES = ("algo.world_model_lr", "algo.actor_lr", "algo.critic_lr")
STOP_TIMEOUT_S = 60.0  # for a stopped run to write its last files


@dataclass(frozen=True)
class Job:
    """One training run."""

    task: str
    algorithm: str
    seed: int
    directory: Path

    def command(self, device: str, cores: set[int], overrides: list[str]) -> list[str]:
        return [
            sys.executable, "-m", "dreamer_exp", *preset(PRESETS[self.task], self.algorithm), f"algo={self.algorithm}",
            f"run.seed={self.seed}", f"hardware={device}", "hardware.num_env_runners=0",
            f"hardware.num_cpus={len(cores)}", "evaluation.episodes=20", "evaluation.every_env_steps=2000",
            "run.train_iterations=1000000", "run.log_level=WARNING",
            "tracking=none", f"hydra.run.dir={self.directory}", *overrides,
        ]  # fmt: skip


def preset(name: str, algorithm: str) -> list[str]:
    """Return the overrides that select a preset; RLlib's learner keeps its own learning rates."""
    rates = [] if algorithm == "dreamerv3" else [f"{rate}=auto" for rate in RATES]
    return [f"experiment={name}", *rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--algorithms", nargs="+", choices=list(COLOURS), default=list(COLOURS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=9.0, help="duration of each run")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="folder of the CSV and PNG files")
    parser.add_argument("--runs", type=Path, help="do not train; read the runs of an earlier command from this folder")
    arguments, overrides = parser.parse_known_args()
    folder = arguments.runs or Path("outputs") / f"learning_curves_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    jobs = [
        Job(task, algorithm, seed, folder.resolve() / f"{task}_{algorithm}_{seed}")
        for task in arguments.tasks
        for algorithm in arguments.algorithms
        for seed in arguments.seeds
    ]
    if arguments.runs is None:
        run_all(jobs, arguments.device, 60.0 * arguments.minutes, overrides)
    for task in arguments.tasks:
        rows = [row for job in jobs if job.task == task for row in evaluations(job)]
        if rows:
            write(arguments.out / f"learning_{task}", task, rows, provenance(arguments))


def run_all(jobs: list[Job], device: str, seconds: float, overrides: list[str]) -> None:
    """Run the jobs in waves: on a CPU as many at once as there are cores, on a GPU all at once."""
    cores = sorted(os.sched_getaffinity(0))
    at_once = len(jobs) if device == "cuda" else min(len(jobs), len(cores))
    share = max(1, len(cores) // at_once)
    for first in range(0, len(jobs), at_once):
        wave = jobs[first : first + at_once]
        cores_of = [{cores[(i * share + j) % len(cores)] for j in range(share)} for i in range(len(wave))]
        run_wave(
            [(job, job.command(device, own, overrides), own) for job, own in zip(wave, cores_of, strict=True)], seconds
        )


def run_wave(wave: list[tuple[Job, list[str], set[int]]], seconds: float) -> None:
    """Start the runs, each on its cores, and stop them after this many seconds."""
    running = []
    for job, command, cores in wave:
        job.directory.parent.mkdir(parents=True, exist_ok=True)
        log = open(f"{job.directory}.log", "w")  # noqa: SIM115  # the process writes it
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cores)), *command],
            env={**os.environ, "OMP_NUM_THREADS": str(len(cores))}, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
    time.sleep(seconds)
    for process in running:
        process.send_signal(signal.SIGTERM)
    for (job, _, _), process in zip(wave, running, strict=True):
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        found = evaluations(job)
        print(job.directory.name, found[-1] if found else Path(f"{job.directory}.log").read_text()[-800:], flush=True)


def evaluations(job: Job) -> list[dict[str, Any]]:
    """Return the evaluations of the trained policy, each with the training time until then in seconds."""
    rows = [row for row in read(job.directory / "evaluation.jsonl") if row["policy"] == LEARNER]
    seconds = {row["env_steps"]: row["time/total_s"] for row in read(job.directory / "result.jsonl")}
    return [
        {"algorithm": job.algorithm, "seed": job.seed, "wall_time_s": round(seconds.get(row["env_steps"], 0.0), 1)}
        | {name: row[name] for name in COLUMNS if name in row}
        for row in rows
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def provenance(arguments: argparse.Namespace) -> str:
    """Return the command and the hardware."""
    machine = probe()
    gpu = "no GPU"
    if arguments.device == "cuda":
        import torch

        gpu = f"one {torch.cuda.get_device_name()}, shared by all runs"
    return f"python {' '.join(sys.argv)}; {machine.cpus} CPU cores ({machine.cpu_name}), divided among the runs, {gpu}"


def write(path: Path, task: str, rows: list[dict[str, Any]], note: str) -> None:
    """Add the rows to the CSV, replacing earlier rows of the same runs, and draw it."""
    table = path.with_suffix(".csv")
    text = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    new = {run_name(row) for row in rows}
    kept = [row for row in csv.DictReader(line for line in text if line[0] != "#") if run_name(row) not in new]
    notes = dict(line[2:].split(": ", 1) for line in text if line[0] == "#") | dict.fromkeys(new, note)
    every = sorted([*kept, *rows], key=lambda row: (run_name(row), int(row["env_steps"])))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {note}\n" for name, note in sorted(notes.items()))
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    draw(path.with_suffix(".png"), task, every)


def run_name(row: dict[str, Any]) -> str:
    """Return the name of the run that a row belongs to."""
    return f"{row['algorithm']}, seed {row['seed']}"


def draw(path: Path, task: str, rows: list[dict[str, Any]]) -> None:
    """Draw the goal's metric over env steps and over seconds, with a line for each seed."""
    metric, goal = GOALS[task]
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for panel, (axis, label) in zip(panels, (("env_steps", "env steps"), ("wall_time_s", "seconds")), strict=True):
        for name in sorted({run_name(row) for row in rows}):
            curve = [row for row in rows if run_name(row) == name]
            x, y = ([float(row[column]) for row in curve] for column in (axis, metric))
            panel.plot(x, y, color=COLOURS[curve[0]["algorithm"]], alpha=0.8, lw=1.4, label=name)
        panel.axhline(goal, color="grey", ls="--", lw=1)
        panel.set_xlabel(label)
    panels[0].set_ylabel(f"{metric} of 20 evaluation episodes")
    panels[1].legend(fontsize=7, frameon=False)
    figure.suptitle(f"{task}: goal {goal:g}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
