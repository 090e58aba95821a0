"""What a run came to: run_summary.json, the closing table and report/learning_curve.png."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from dreamer_exp.runs.directory import RunDirectory, read_rows, write_json
from dreamer_exp.runs.progress import number

LEARNER = "dreamerv3"  # the policy's name in evaluation.jsonl


def summarise(directory: RunDirectory, status: dict[str, Any], fingerprint: str) -> dict[str, Any]:
    """Reads the run's own rows back and writes run_summary.json; returns what it wrote."""
    rows, evaluations = read_rows(directory.result), read_rows(directory.evaluation)
    mine = [without_outcomes(row) for row in evaluations if row["policy"] == LEARNER]
    last = rows[-1] if rows else {}
    trained = [row for row in mine if row["env_steps"]]
    after = trained[-1] if trained else {}
    summary = {
        "run": directory.root.name,
        "fingerprint": fingerprint,
        **status,
        "final": {
            **last,
            "success_rate": after.get("success_rate", last.get("success_rate_window")),
            "return_mean": after.get("return_mean", last.get("episode_return_window")),
            "evaluated_at_env_steps": after.get("env_steps"),  # null: the two above are the training window's
        },
        "best": max(trained, key=score, default=None),
        "evaluations": mine,
        "baselines": [without_outcomes(row) for row in evaluations if row["policy"] != LEARNER],
        "paths": {
            name: path.relative_to(directory.root).as_posix()
            for name, path in (
                ("experiment", directory.experiment),
                ("result", directory.result),
                ("evaluation", directory.evaluation),
                ("checkpoints", directory.checkpoints),
                ("report", directory.report),
            )
        },
    }
    write_json(directory.summary, summary)
    return summary


def score(row: dict[str, Any]) -> tuple[float, float]:
    """What `best` is the best of: an evaluation's success rate, then its mean return."""
    return row["success_rate"] or 0.0, row["return_mean"] or 0.0


def without_outcomes(row: dict[str, Any]) -> dict[str, Any]:
    """An evaluation's figures without its single episodes."""
    return {name: value for name, value in row.items() if name != "outcomes"}


def closing_table(summary: dict[str, Any]) -> Table | None:
    """Before, after and the baselines, on the same seeds; None without an evaluation."""
    mine, others = summary["evaluations"], summary["baselines"]
    named = [*([("before training", mine[0])] if mine else []),
             *([(f"after {mine[-1]['env_steps']:,} steps", mine[-1])] if len(mine) > 1 else []),
             *[(row["policy"], row) for row in others]]  # fmt: skip
    return evaluation_table(named) if named else None


def evaluation_table(named: list[tuple[str, dict[str, Any]]]) -> Table:
    """Evaluations of the same episodes, one a line, each under its name."""
    table = Table(
        title=f"{named[0][1]['episodes']} episodes on fixed seeds",
        caption="success (95 % interval); ped., wall: collisions",
        box=box.SIMPLE_HEAD,
        show_edge=False,
    )
    for heading in ("policy", "success", "ped.", "wall", "timeout", "return", "steps"):
        table.add_column(heading, justify="left" if heading == "policy" else "right", no_wrap=True)
    for name, row in named:
        table.add_row(
            name,
            rate_with_interval(row),
            number(row["pedestrian_collision_rate"], ".0%"),
            number(row["wall_collision_rate"], ".0%"),
            number(row["timeout_rate"], ".0%"),
            number(row["return_mean"], ".2f"),
            number(row["length_mean"], ".0f"),
        )
    return table


def rate_with_interval(row: dict[str, Any]) -> str:
    """The success rate and its interval in percent, as `45% (26-66)`."""
    interval = row["success_interval_95"]
    if interval is None:
        return "-"
    return f"{row['success_rate']:.0%} ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})"


def show_end(console: Console, summary: dict[str, Any], root: Path) -> None:
    """The closing table, where everything is, and the next command to try."""
    table = closing_table(summary)
    if table is not None:
        console.print(table)
    lines = [f"Run: {root}", f"Curve: {root / 'report' / 'learning_curve.png'}"]
    lines += [f"Upload: wandb sync {folder}" for folder in root.glob("wandb/offline-run-*")]
    lines += [f"Next: python -m dreamer_exp.evaluate {root} evaluation.episodes=100"]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def draw_learning_curve(directory: RunDirectory) -> Path | None:
    """report/learning_curve.png: return, success and world-model loss over env steps; None without rows."""
    rows, evaluations = read_rows(directory.result), read_rows(directory.evaluation)
    if not rows:
        return None
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(8, 9), sharex=True, constrained_layout=True)
    panels = (
        ("episode_return_window", "return_mean", "return (mean of last 100)"),
        ("success_rate_window", "success_rate", "success rate (last 100)"),
        ("loss/world_model", None, "world-model loss"),
    )
    for axis, (curve, evaluated, label) in zip(axes, panels, strict=True):
        _draw_panel(axis, rows, evaluations, curve, evaluated)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[1].set_ylim(-0.03, 1.03)
    if any(row["loss/world_model"] for row in rows):
        axes[2].set_yscale("log")
    axes[-1].set_xlabel("env steps")
    axes[0].legend(fontsize=8)
    figure.suptitle(directory.root.name, fontsize=10)
    directory.report.mkdir(exist_ok=True)
    path = directory.report / "learning_curve.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


# Okabe and Ito's colour-blind-safe palette
COLOURS = {LEARNER: "#0072B2", "random": "#999999", "straight_to_goal": "#E69F00", "orca": "#009E73", "hl": "#CC79A7"}


def _draw_panel(axis: Any, rows: list[Any], evaluations: list[Any], curve: str, evaluated: str | None) -> None:
    points = [(row["env_steps"], row[curve]) for row in rows if row[curve] is not None]
    axis.plot(*zip(*points, strict=True) if points else ([], []), color=COLOURS[LEARNER], label="training")
    if evaluated is None:
        return
    mine = [(row["env_steps"], row[evaluated]) for row in evaluations
            if row["policy"] == LEARNER and row[evaluated] is not None]  # fmt: skip
    if mine:
        axis.plot(*zip(*mine, strict=True), "o", color=COLOURS[LEARNER], label="evaluation, fixed seeds")
    for row in evaluations:
        if row["policy"] != LEARNER and row[evaluated] is not None:
            axis.axhline(row[evaluated], color=COLOURS[row["policy"]], linestyle="--", label=row["policy"])
