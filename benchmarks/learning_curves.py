"""Learning curves of both learners on three tasks: runs, CSV, PNG.

    python benchmarks/learning_curves.py --tasks cartpole pendulum open --learners fast rllib --seeds 1 2 3
        [--minutes 9] [--device cpu|cuda] [--out benchmarks/results] [--runs FOLDER] [OVERRIDE ...]

Each run is `python -m dreamer_exp experiment=PRESET algo=ALGORITHM run.seed=SEED`, pinned to CPU cores of its
own (on a CPU as many runs at once as there are cores, on a GPU all), stopped after the minutes given; its policy is
evaluated on 20 fixed seeds every 2,000 env steps. One learning_TASK.csv and .png a task: a row an evaluation, the
command and the hardware in the first lines.
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
COLUMNS = ("learner", "seed", "env_steps", "updates", "wall_time_s", "return_mean", "success_rate")
COLOURS = {"fast": "tab:blue", "rllib": "tab:orange"}
# RLlib's learner with its own learning rates, and without the fast learner's key
OF_LEARNER = {
    "fast": [],
    "rllib": ["algo.lr_warmup=1000", *(f"algo.{part}_lr=auto" for part in ("world_model", "actor", "critic"))],
}
TO_THE_END_S = 60.0  # that a stopped run may take to write its end


@dataclass(frozen=True)
class Job:
    """One run."""

    task: str
    learner: str
    seed: int
    directory: Path

    def command(self, device: str, cores: set[int], overrides: list[str]) -> list[str]:
        return [
            sys.executable, "-m", "dreamer_exp", f"experiment={PRESETS[self.task]}", f"algo={self.learner}",
            f"run.seed={self.seed}", f"hardware={device}", "hardware.num_env_runners=0",
            f"hardware.num_cpus={len(cores)}", "evaluation.episodes=20", "evaluation.every_env_steps=2000",
            "run.train_iterations=1000000", "run.log_level=WARNING",
            "tracking=none", f"hydra.run.dir={self.directory}", *OF_LEARNER[self.learner], *overrides,
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--learners", nargs="+", choices=list(COLOURS), default=list(COLOURS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--runs", type=Path, help="only draw: the folder of an earlier command's runs")
    asked, overrides = parser.parse_known_args()
    folder = asked.runs or Path("outputs") / f"learning_curves_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    jobs = [
        Job(task, learner, seed, folder.resolve() / f"{task}_{learner}_{seed}")
        for task in asked.tasks
        for learner in asked.learners
        for seed in asked.seeds
    ]
    if asked.runs is None:
        run_all(jobs, asked.device, 60.0 * asked.minutes, overrides)
    for task in asked.tasks:
        rows = [row for job in jobs if job.task == task for row in evaluations(job)]
        if rows:
            write(asked.out / f"learning_{task}", task, rows, note(asked))


def run_all(jobs: list[Job], device: str, seconds: float, overrides: list[str]) -> None:
    """As many runs side by side as there are cores, or all of them where a GPU carries them."""
    cores = sorted(os.sched_getaffinity(0))
    at_once = len(jobs) if device == "cuda" else min(len(jobs), len(cores))
    share = max(1, len(cores) // at_once)
    for first in range(0, len(jobs), at_once):
        wave = jobs[first : first + at_once]
        mine = [{cores[(i * share + j) % len(cores)] for j in range(share)} for i in range(len(wave))]
        run_wave(
            [(job, job.command(device, own, overrides), own) for job, own in zip(wave, mine, strict=True)], seconds
        )


def run_wave(wave: list[tuple[Job, list[str], set[int]]], seconds: float) -> None:
    """Starts the runs, each on its cores, and ends them."""
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
            process.wait(TO_THE_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
        found = evaluations(job)
        print(job.directory.name, found[-1] if found else Path(f"{job.directory}.log").read_text()[-800:], flush=True)


def evaluations(job: Job) -> list[dict[str, Any]]:
    """The learner's evaluations, each with the seconds that the run had trained by then."""
    rows = [row for row in read(job.directory / "evaluation.jsonl") if row["policy"] == LEARNER]
    trained = read(job.directory / "result.jsonl")
    seconds = {row["env_steps"]: row["time/total_s"] for row in trained}
    return [
        {"learner": job.learner, "seed": job.seed, "wall_time_s": round(seconds.get(row["env_steps"], 0.0), 1)}
        | {name: row[name] for name in COLUMNS if name in row}
        for row in rows
    ]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def note(asked: argparse.Namespace) -> list[str]:
    """What the figures come from."""
    machine = probe()
    gpu = "no GPU"
    if asked.device == "cuda":
        import torch

        gpu = f"one {torch.cuda.get_device_name()}, shared by all runs"
    return [
        f"python {' '.join(sys.argv)}",
        f"{machine.cpus} CPU cores ({machine.cpu_name}), dealt out to the runs, {gpu}",
    ]


def write(path: Path, task: str, rows: list[dict[str, Any]], lines: list[str]) -> None:
    """Adds the rows to the CSV, in place of earlier ones of the same runs, and draws it."""
    table = path.with_suffix(".csv")
    text = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    fresh = {run_name(row) for row in rows}
    kept = [row for row in csv.DictReader(line for line in text if line[0] != "#") if run_name(row) not in fresh]
    notes = dict(line[2:].split(": ", 1) for line in text if line[0] == "#")
    notes = {name: note for name, note in notes.items() if name not in fresh} | dict.fromkeys(fresh, "; ".join(lines))
    every = sorted([*kept, *rows], key=lambda row: (run_name(row), int(row["env_steps"])))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {name}: {note}\n" for name, note in sorted(notes.items()))
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)
    draw(path.with_suffix(".png"), task, every)


def run_name(row: dict[str, Any]) -> str:
    """Which run a row is of."""
    return f"{row['learner']}, seed {row['seed']}"


def draw(path: Path, task: str, rows: list[dict[str, Any]]) -> None:
    """Two panels: the goal's figure over env steps, and over seconds; a line a seed."""
    figure_name, goal = GOALS[task]
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for panel, (axis, label) in zip(panels, (("env_steps", "env steps"), ("wall_time_s", "seconds")), strict=True):
        for name in sorted({run_name(row) for row in rows}):
            its = [row for row in rows if run_name(row) == name]
            x, y = ([float(row[column]) for row in its] for column in (axis, figure_name))
            panel.plot(x, y, color=COLOURS[its[0]["learner"]], alpha=0.8, lw=1.4, label=name)
        panel.axhline(goal, color="grey", ls="--", lw=1)
        panel.set_xlabel(label)
    panels[0].set_ylabel(f"{figure_name} of 20 evaluation episodes")
    panels[1].legend(fontsize=7, frameon=False)
    figure.suptitle(f"{task}: goal {goal:g}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
