"""Learning curves of both learners on three tasks: runs, CSV, PNG.

    python benchmarks/learning_curves.py --tasks cartpole pendulum open --learners fast rllib --seeds 1 2 3
        [--minutes 9] [--device cpu|cuda] [--out benchmarks/results] [--runs FOLDER] [OVERRIDE ...]

Each run is `python -m dreamer_exp experiment=TASK algo.learner=LEARNER run.seed=SEED`, all at once, each pinned to CPU
cores of its own, stopped after the minutes given; its policy is evaluated on 20 fixed seeds as it trains. One
learning_TASK.csv and .png a task: a row an evaluation, the command and the hardware in the first lines.
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
from dreamer_exp.runs.report import LEARNER

mpl.use("Agg")
import matplotlib.pyplot as plt

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
            sys.executable, "-m", "dreamer_exp", f"experiment={self.task}", f"algo.learner={self.learner}",
            f"run.seed={self.seed}", f"hardware={device}", "hardware.num_env_runners=0",
            f"hardware.num_cpus={len(cores)}", "run.train_iterations=1000000", "run.log_level=WARNING",
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
    """All runs side by side, the usable cores dealt out among them."""
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // len(jobs))
    running = []
    for i, job in enumerate(jobs):
        mine = {cores[(i * share + j) % len(cores)] for j in range(share)}
        environment = {**os.environ, "OMP_NUM_THREADS": str(share)}
        job.directory.parent.mkdir(parents=True, exist_ok=True)
        log = open(f"{job.directory}.log", "w")  # noqa: SIM115  # the process writes it
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, mine)), *job.command(device, mine, overrides)],
            env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        running.append(process)
    time.sleep(seconds)
    for process in running:
        process.send_signal(signal.SIGTERM)
    for job, process in zip(jobs, running, strict=True):
        try:
            process.wait(TO_THE_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
        if not evaluations(job):
            print(f"{job.directory.name}: no evaluation\n{Path(f'{job.directory}.log').read_text()[-800:]}")


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

        gpu = f"one {torch.cuda.get_device_name()}, shared by the runs"
    return [
        f"python {' '.join(sys.argv)}",
        f"{machine.cpus} CPU cores ({machine.cpu_name}), {gpu}; all runs of the command at once",
    ]


def write(path: Path, task: str, rows: list[dict[str, Any]], lines: list[str]) -> None:
    """Adds the rows to the CSV, in place of earlier ones of the same learners, and draws it."""
    table = path.with_suffix(".csv")
    mine = {row["learner"] for row in rows}
    kept_notes, kept = [], []
    if table.exists():
        text = table.read_text().splitlines()
        kept = [row for row in csv.DictReader(line for line in text if line[0] != "#") if row["learner"] not in mine]
        others = {row["learner"] for row in kept}
        kept_notes = [line for line in text if line[0] == "#" and line[2:].partition(":")[0] in others]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(table, "w", newline="", encoding="utf-8") as file:
        for line in [*kept_notes, *(f"# {learner}: {line}" for learner in sorted(mine) for line in lines)]:
            file.write(line + "\n")
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*kept, *rows])
    draw(path.with_suffix(".png"), task, [*kept, *rows])


def draw(path: Path, task: str, rows: list[dict[str, Any]]) -> None:
    """Two panels: the goal's figure over env steps, and over seconds; a line a seed."""
    figure_name, goal = GOALS[task]
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for panel, (axis, label) in zip(panels, (("env_steps", "env steps"), ("wall_time_s", "seconds")), strict=True):
        for learner, seed in sorted({(row["learner"], int(row["seed"])) for row in rows}):
            its = [row for row in rows if row["learner"] == learner and int(row["seed"]) == seed]
            x, y = ([float(row[name]) for row in its] for name in (axis, figure_name))
            panel.plot(x, y, color=COLOURS[learner], alpha=0.8, lw=1.4, label=f"{learner}, seed {seed}")
        panel.axhline(goal, color="grey", ls="--", lw=1)
        panel.set_xlabel(label)
    panels[0].set_ylabel(f"{figure_name} of 20 evaluation episodes")
    panels[1].legend(fontsize=7, frameon=False)
    figure.suptitle(f"{task}: goal {goal:g}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
