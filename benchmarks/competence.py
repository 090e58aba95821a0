"""Draw the success rates of benchmarks/results/competence/runs.csv over env steps.

    python benchmarks/competence.py [--table FILE.csv] [--out FILE.png]

One panel for each environment of an evaluation. A line joins the evaluations of one run during training; a bar is the
95 % Wilson interval. A diamond is an evaluation in an environment in which the policy was not trained. Rows with other
scenarios than the goal's, or with sampled actions, are not drawn. The runs in COLOURS have one, all others are grey.
"""

import argparse
import csv
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

from dreamer_exp.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY_BLUE, VERMILION

mpl.use("Agg")
import matplotlib.pyplot as plt

RESULTS = Path(__file__).parent / "results" / "competence"
COLOURS = {  # the runs that a reader asks for; the others are grey
    "crowd_nav_decay_repeat2": GREEN,
    "crowd_nav_tuned_xs": BLUE,
    "crowd_nav_floor_1M": SKY_BLUE,
    "crowd_nav_cpu": BLACK,
    "robot_sf_route_bolder": ORANGE,
    "robot_sf_decay_seed2": VERMILION,
    "robot_sf_xs": PURPLE,
    "robot_sf_classic_only": BLACK,
}
OTHERS = "other experiments"
BASELINE = "orca"


class Goal(NamedTuple):
    """The goal in one environment, and the scenarios in which it is measured."""

    success: float
    scenarios: tuple[str, ...]
    baseline: float


GOALS = {
    "crowd_nav": Goal(0.95, ("mixed", "mixed, weights of env=crowd_nav_tuned"), 0.895),
    "robot_sf": Goal(0.80, ("classic_interactions_francis2023", "70 scenarios"), 0.681),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=RESULTS / "runs.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "success.png")
    options = parser.parse_args()
    with open(options.table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    draw(rows, options.out)


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Write the figure."""
    figure, panels = plt.subplots(1, len(GOALS), figsize=(11, 4.4), sharey=True, layout="constrained")
    for panel, (env, goal) in zip(panels, GOALS.items(), strict=True):
        of_goal = [row for row in rows if row["evaluated_in"] == env and row["scenarios"] in goal.scenarios]
        drawn = [row for row in of_goal if row["run"] != BASELINE and "sampled" not in row["note"]]
        draw_panel(panel, env, goal, drawn)
    panels[0].set_ylabel("success rate, with its 95 % interval")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_panel(panel: Any, env: str, goal: Goal, rows: list[dict[str, str]]) -> None:
    """Draw one environment: every run, the goal and ORCA."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    others = [run for run in runs if run not in COLOURS]
    for run in others + [run for run in COLOURS if run in runs]:  # what has a colour is drawn last, on top
        evaluations = [row for row in rows if row["run"] == run]
        trained_in = evaluations[0]["trained_in"]
        marker, line = ("o", "-") if trained_in == env else ("D", "none")
        colour, shade = (COLOURS[run], 1.0) if run in COLOURS else (GREY, 0.35)
        name = run if run in COLOURS else OTHERS if run == others[0] else "_" + run  # _ keeps it out of the legend
        label = name if trained_in == env else f"{name} (trained in {trained_in})"
        x = [int(row["env_steps"]) / 1000 for row in evaluations]
        success = [float(row["success"]) for row in evaluations]
        panel.plot(x, success, marker=marker, ls=line, ms=5, lw=1.4, color=colour, alpha=shade, label=label)
        bars = [(steps, row) for steps, row in zip(x, evaluations, strict=True) if row["success_low"]]
        low, high = ([float(row[f"success_{side}"]) for _, row in bars] for side in ("low", "high"))
        panel.vlines([steps for steps, _ in bars], low, high, color=colour, lw=1, alpha=shade)
    panel.axhline(goal.success, color=VERMILION, ls="--", lw=1.2, label=f"goal {goal.success:.2f}")
    panel.axhline(goal.baseline, color=GREY, ls=":", lw=1.2, label=f"ORCA {goal.baseline:.3g}")
    panel.set_title(env)
    panel.set_xlabel("thousand env steps")
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)
    panel.legend(fontsize=7, loc="lower right")


if __name__ == "__main__":
    main()
