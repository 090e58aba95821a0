"""Draw runs of DeepMind Control's tasks next to the published learning curves.

    python benchmarks/dmc_curves.py RUN [RUN ...] [--out benchmarks/results/dmc]

RUN is the directory of a run of experiment=dmc_walker_walk, dmc_cheetah_run or dmc_cartpole_swingup. For each task of
the runs this writes dmc_TASK.csv, with a row for each evaluation of the trained policy, and dmc_TASK.png. The published
curves and their source are in benchmarks/results/dmc/published.csv. They are returns of training episodes, of a policy
that explores; the runs' evaluations are deterministic.
"""

import argparse
import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import yaml

mpl.use("Agg")
import matplotlib.pyplot as plt

PUBLISHED = Path(__file__).parent / "results" / "dmc" / "published.csv"
COLOURS = {"dreamerv3": "tab:orange", "ppo": "tab:grey"}
COLUMNS = (
    "run",
    "algorithm",
    "model_size",
    "training_ratio",
    "seed",
    "env_steps",
    "updates",
    "episodes",
    "return_mean",
)


class Curve(NamedTuple):
    """The evaluations of one run, as rows of COLUMNS."""

    task: str
    rows: list[dict[str, object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="directories of runs")
    parser.add_argument("--out", type=Path, default=PUBLISHED.parent, help="folder of the CSV and PNG files")
    arguments = parser.parse_args()
    curves = [read(run) for run in arguments.runs]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for task in sorted({curve.task for curve in curves}):
        own = [curve.rows for curve in curves if curve.task == task]
        write(arguments.out / f"{task}.csv", own)
        draw(arguments.out / f"{task}.png", task, own)
        print(arguments.out / f"{task}.png")


def read(run: Path) -> Curve:
    """Return the evaluations of a run; end the program if it is a run of another task, or has none."""
    try:
        settings = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
        lines = (run / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        sys.exit(f"{run} is no run with evaluations: {error}")
    task = settings["env"].get("id", "").removeprefix("dm_control/").removesuffix("-v0").replace("-", "_")
    if f"dmc_{task}" not in published():
        sys.exit(f"{run}: no published curve for env={settings['env']['name']}; there are {', '.join(published())}")
    algo = settings["algo"]
    fixed = {"run": run.resolve().name, "algorithm": algo["name"], "seed": settings["run"]["seed"]}
    fixed |= {name: algo.get(name) for name in ("model_size", "training_ratio")}
    rows = [row for row in map(json.loads, lines) if row["kind"] == "trained"]
    return Curve(f"dmc_{task}", [fixed | {name: row[name] for name in COLUMNS if name in row} for row in rows])


def published() -> dict[str, dict[str, list[tuple[float, ...]]]]:
    """Return (env steps, mean, least, greatest) by task and method."""
    found: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    text = PUBLISHED.read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(line for line in text if not line.startswith("#")):
        found[row["task"]][row["method"]].append(
            tuple(float(row[name]) for name in ("env_steps", "mean", "min", "max"))
        )
    return found


def write(path: Path, curves: list[list[dict[str, object]]]) -> None:
    """Write the rows of all runs of a task."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for curve in curves for row in curve)


def draw(path: Path, task: str, curves: list[list[dict[str, object]]]) -> None:
    """Draw the return over env steps: a band for published curves, a line for each run."""
    figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for method, points in published()[task].items():
        steps, mean, least, greatest = zip(*points, strict=True)
        axes.plot(steps, mean, color=COLOURS[method], lw=1.6, label=f"{method}, published: mean and range of 5 seeds")
        axes.fill_between(steps, least, greatest, color=COLOURS[method], alpha=0.2, lw=0)
    for curve in curves:
        first = curve[0]
        size = "" if first["model_size"] is None else f" {first['model_size']}, ratio {first['training_ratio']:g}"
        label = f"{first['algorithm']}{size}, seed {first['seed']}"
        axes.plot(*([row[name] for row in curve] for name in ("env_steps", "return_mean")), "o-", ms=3, label=label)
    axes.set(xlabel="env steps", ylabel="return", title=task, ylim=(0, 1000))
    axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
