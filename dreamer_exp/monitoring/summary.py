"""The results of a run: run_summary.json, the closing table and report/learning_curve.png."""

from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from dreamer_exp.formatting import number, printable
from dreamer_exp.monitoring.scenario_table import scenario_table
from dreamer_exp.palette import BLUE, GREEN, GREY, ORANGE, PURPLE
from dreamer_exp.report.commands import next_commands
from dreamer_exp.rundir.atomic import save_figure, write_json
from dreamer_exp.rundir.formats import current_format
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import is_trained, score
from dreamer_exp.rundir.reader import read_evaluations, read_rows, read_tree
from dreamer_exp.rundir.status import ENDED, write_missing_end


def summarise(directory: RunDirectory, status: dict[str, Any], fingerprint: str | None) -> dict[str, Any]:
    """Return the content of run_summary.json, computed from the run's rows."""
    rows, evaluations = read_rows(directory.result), read_evaluations(directory.evaluation)
    mine = [without_outcomes(row) for row in evaluations if is_trained(row)]
    last = rows[-1] if rows else {}
    trained = [row for row in mine if row["env_steps"]]
    after = trained[-1] if trained else {}
    return {
        "run": directory.root.name,
        "fingerprint": fingerprint,
        **status,
        "format": current_format("run_summary.json"),
        "final": {
            **last,
            "success_rate": after.get("success_rate", last.get("success_rate_window")),
            "return_mean": after.get("return_mean", last.get("episode_return_window")),
            "evaluated_at_env_steps": after.get("env_steps"),  # null: the two above are the training window's
        },
        "best": max(trained, key=score, default=None),
        "evaluations": mine,
        "baselines": [without_outcomes(row) for row in evaluations if not is_trained(row)],
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


def record_missing_end(root: Path, state: str, message: str | None, kind: str = ENDED) -> None:
    """Write status.json and run_summary.json of a run whose process ended without writing its end.

    Does nothing if it wrote one. The arguments are those of `write_missing_end`.
    """
    directory = RunDirectory(root)
    if status := write_missing_end(root, state, message, kind):
        tree = summarise(directory, status, read_tree(directory.experiment).get("fingerprint"))
        with suppress(OSError):  # the disk is full; the end is printed
            write_json(directory.summary, tree)


def without_outcomes(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an evaluation without its episodes, but for those that are impossible, if there are any."""
    impossible = [one for one in row.get("outcomes", []) if one.get("impossible")]
    rest = {name: value for name, value in row.items() if name != "outcomes"}
    return {**rest, "outcomes": impossible} if impossible else rest


def closing_table(summary: dict[str, Any]) -> Group | None:
    """Return the table of the first and last evaluation and the baselines; None without an evaluation."""
    mine, others = summary["evaluations"], summary["baselines"]
    of_policy = [mine[0], mine[-1]] if len(mine) > 1 else mine
    named = [(f"after {row['env_steps']:,} steps" if row["env_steps"] else "before training", row) for row in of_policy]
    named += [(row["policy"], row) for row in others]
    return evaluation_table(named) if named else None


class Column(NamedTuple):
    """Metric of an evaluation, and how the table shows it."""

    heading: str
    key: str
    spec: str


MAX_LISTED = 5  # impossible episodes
SUCCESS_RATE = Column("success", "success_rate", "")
COLUMNS = (
    SUCCESS_RATE,
    Column("SPL", "spl", ".2f"),
    Column("ped.", "pedestrian_collision_rate", ".0%"),
    Column("wall", "wall_collision_rate", ".0%"),
    Column("rob.", "robot_collision_rate", ".0%"),
    Column("t/o", "timeout_rate", ".0%"),
    Column("time", "time_to_goal_s_mean", ".1f"),
    Column("gap", "min_clearance_m_mean", ".2f"),
    Column("return", "return_mean", ".2f"),
    Column("steps", "length_mean", ".0f"),
)
CAPTION = """\
success: rate and 95 % interval; SPL: success weighted by path length
ped., wall: collisions; t/o: timeouts; time: seconds to the goal
gap: smallest distance to a pedestrian in m, mean over episodes"""


def evaluation_table(named: list[tuple[str, dict[str, Any]]]) -> Group:
    """Return a table of evaluations of the same episodes, one line for each (name, row), between title and legend."""
    columns = columns_of([row for _, row in named])
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("policy", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for name, row in named:
        table.add_row(name, *[cell(row, column) for column in columns])
    legend = [Text(CAPTION, style="dim italic")] if SUCCESS_RATE in columns else []
    return Group(Text(title_of(named[0][1])), table, *legend)  # rich would wrap both to the table's width


def title_of(row: dict[str, Any]) -> str:
    """Return the number of an evaluation's episodes and how they were chosen."""
    noun = "episode" if row["episodes"] == 1 else "episodes"
    return f"{row['episodes']} {noun}: {row.get('episodes_chosen', 'fixed seeds')}"


def impossible_line(row: dict[str, Any]) -> str | None:
    """Return one line about the impossible episodes of an evaluation and its success without them; None without any."""
    count = row.get("impossible_episodes") or 0
    if not count:
        return None
    places = [f"{one['scenario']} (seed {one['seed']})" for one in row.get("outcomes", []) if one.get("impossible")]
    more = f" and {len(places) - MAX_LISTED} more" if len(places) > MAX_LISTED else ""
    listed = f": {', '.join(places[:MAX_LISTED])}{more}" if places else ""
    rate, interval = row["success_rate_without_impossible"], row["success_without_impossible_interval_95"]
    without = "none is left" if interval is None else f"success without {_in_percent(rate, interval)}"
    noun = "episode was" if count == 1 else "episodes were"
    return f"{count} {noun} impossible (in collision after the first step whatever the action){listed}; {without}"


def columns_of(rows: list[dict[str, Any]]) -> list[Column]:
    """Return the columns to show.

    A column needs a value in some row. Collisions with robots are shown only if there were any, and the episodes'
    length only without outcomes.
    """
    filled = [column for column in COLUMNS if any(row.get(column.key) is not None for row in rows)]
    left_out = {"steps"} if SUCCESS_RATE in filled else set()
    if not any(row["robot_collision_rate"] for row in rows):
        left_out.add("rob.")
    return [column for column in filled if column.heading not in left_out]


def cell(row: dict[str, Any], column: Column) -> str:
    """Return the value of a column as text, with a dash for None."""
    return rate_with_interval(row) if column is SUCCESS_RATE else number(row.get(column.key), column.spec)


def rate_with_interval(row: dict[str, Any]) -> str:
    """Return the success rate and its interval in percent, for example `45% (26-66)`."""
    interval = row["success_interval_95"]
    if interval is None:
        return "-"
    return _in_percent(row["success_rate"], interval)


def _in_percent(rate: float, interval: list[float]) -> str:
    return f"{rate:.0%} ({100 * interval[0]:.0f}-{100 * interval[1]:.0f})"


def show_end(
    console: Console, summary: dict[str, Any], root: Path, imports: bool = False, page: Path | None = None
) -> None:
    """Print the closing table, the paths of the results and the next commands.

    Args:
        console: Where to print.
        summary: The content of run_summary.json.
        root: The run's directory.
        imports: Whether the environment's options name a module, which `evaluate` imports with trust=true only.
        page: The page of the run, for a browser.
    """
    table = closing_table(summary)
    if table is not None:
        console.print(table)
    by_scenario = scenario_table(summary["evaluations"][-1], summary["baselines"]) if summary["evaluations"] else None
    if by_scenario is not None:
        console.print(by_scenario)
    if summary["evaluations"] and (line := impossible_line(summary["evaluations"][-1])):
        console.print(line, soft_wrap=True, markup=False)
    lines = [f"Run: {root}", *([f"Report: {page}"] if page else [])]
    for line in [*lines, *next_lines(summary, root, imports)]:
        console.print(line, soft_wrap=True, markup=False)


def next_lines(summary: dict[str, Any], root: Path, imports: bool) -> list[str]:
    """Return what to do with a finished run: a line for each command that can be pasted into a shell."""
    commands = next_commands(
        root, summary["final"].get("iteration"), imports=imports, end_reason=summary.get("end_reason")
    )
    return ["Next:", *(f"  {what}:  {command}" for what, command in commands.items())]


def draw_learning_curve(directory: RunDirectory) -> Path | None:
    """Draw return, success and world-model loss over env steps; return the path, None without rows."""
    rows, evaluations = read_rows(directory.result), read_evaluations(directory.evaluation)
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
    if any(row.get("loss/world_model") for row in rows):
        axes[2].set_yscale("log")
    axes[-1].set_xlabel("env steps")
    axes[0].legend(fontsize=8)
    figure.suptitle(printable(directory.root.name), fontsize=10, parse_math=False)
    path = directory.report / "learning_curve.png"
    save_figure(path, figure, 120)
    plt.close(figure)
    return path


POLICY_COLOUR = BLUE
BASELINE_COLOURS = (GREY, ORANGE, GREEN, PURPLE)  # in the order of evaluation.baselines


def _draw_panel(axis: Any, rows: list[Any], evaluations: list[Any], curve: str, evaluated: str | None) -> None:
    points = [(row["env_steps"], row[curve]) for row in rows if row.get(curve) is not None]
    axis.plot(*zip(*points, strict=True) if points else ([], []), color=POLICY_COLOUR, label="training")
    if evaluated is None:
        return
    mine = [(row["env_steps"], row[evaluated]) for row in evaluations
            if is_trained(row) and row.get(evaluated) is not None]  # fmt: skip
    if mine:
        axis.plot(*zip(*mine, strict=True), "o", color=POLICY_COLOUR, label="evaluation, fixed seeds")
    baselines = [row for row in evaluations if not is_trained(row) and row.get(evaluated) is not None]
    for row, colour in zip(baselines, cycle(BASELINE_COLOURS), strict=False):
        axis.axhline(row[evaluated], color=colour, linestyle="--", label=row["policy"])
