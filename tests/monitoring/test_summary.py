"""Results of a run: summary, closing table and learning curve."""

import shlex
from pathlib import Path

import pytest
from rich.console import Console

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.monitoring import summary
from dreamer_exp.monitoring.metrics_row import window_figures
from dreamer_exp.rundir.atomic import append_row
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import BASELINE, LEARNER_METRICS, TRAINED

STATUS = {"state": "finished", "error": None}
FAILED, REACHED = EpisodeResult(-3.0, 20, outcome="timeout"), EpisodeResult(9.0, 15, outcome="success")


def episodes(count: int) -> EpisodeList:
    return EpisodeList(tuple(map(EvaluationEpisode, range(count))), "chosen by hand")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run of three rows, evaluated before and after training, with a baseline."""
    directory = RunDirectory(tmp_path)
    for step in (512, 528, 544):
        losses = dict.fromkeys(LEARNER_METRICS, 2.0)
        append_row(directory.result, {"env_steps": step, "updates": 1, **window_figures([FAILED]), **losses})
    for policy, steps, results in (
        ("straight_to_goal", 0, [REACHED] * 8),
        ("ppo", 0, [FAILED, FAILED]),
        ("ppo", 544, [FAILED, REACHED]),
    ):
        kind = BASELINE if policy == "straight_to_goal" else TRAINED
        append_row(directory.evaluation, evaluation_row(policy, kind, steps, 0, results, episodes(len(results))))
    return directory


def shown(tree: dict[str, object], width: int) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    table = summary.closing_table(tree)
    assert table is not None
    console.print(table)
    return console.export_text()


def test_the_final_success_rate_is_that_of_the_last_evaluation(run: RunDirectory) -> None:
    assert summary.summarise(run, STATUS, "f")["final"]["success_rate"] == 0.5


def test_a_run_without_evaluations_uses_the_training_window(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    append_row(directory.result, {"env_steps": 1, **window_figures([REACHED])})
    assert summary.summarise(directory, STATUS, "f")["final"]["success_rate"] == 1.0


def test_a_run_without_rows_has_a_summary(tmp_path: Path) -> None:
    tree = summary.summarise(RunDirectory(tmp_path), {"state": "failed", "error": {"type": "X", "message": ""}}, "f")
    assert (tree["state"], tree["final"]["success_rate"], tree["best"]) == ("failed", None, None)


def test_the_best_evaluation_has_the_highest_success_rate(run: RunDirectory) -> None:
    assert summary.summarise(run, STATUS, "f")["best"]["env_steps"] == 544


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"success_rate": 0.6, "spl": 0.1, "return_mean": 0.0}, {"success_rate": 0.5, "spl": 0.5, "return_mean": 9.0}),
        ({"success_rate": 0.5, "spl": 0.5, "return_mean": 0.0}, {"success_rate": 0.5, "spl": 0.4, "return_mean": 9.0}),
        ({"success_rate": 0.5, "spl": 0.5, "return_mean": 9.0}, {"success_rate": 0.5, "spl": 0.5, "return_mean": 8.0}),
        (
            {"success_rate": None, "spl": None, "return_mean": -1},
            {"success_rate": None, "spl": None, "return_mean": -2},
        ),
        ({"success_rate": 0.5, "return_mean": 9.0}, {"success_rate": 0.5, "return_mean": 8.0}),
    ],
    ids=["success", "then SPL", "then return", "a task without outcomes", "a row of an older version"],
)
def test_best_compares_success_then_spl_then_return(better: dict[str, float], worse: dict[str, float]) -> None:
    assert summary.score(better) > summary.score(worse)


@pytest.mark.parametrize("width", [80, 100])
def test_the_closing_table_is_complete_at_usual_widths(run: RunDirectory, width: int) -> None:
    text = shown(summary.summarise(run, STATUS, "f"), width)
    assert "before training" in text
    assert "after 544 steps" in text
    assert "50% (9-91)" in text
    assert "…" not in text
    assert set(summary.CAPTION.splitlines()) < set(text.splitlines())


def test_the_closing_table_names_the_first_evaluation_by_its_steps(run: RunDirectory) -> None:
    tree = summary.summarise(run, STATUS, "f")
    tree["evaluations"] = [row for row in tree["evaluations"] if row["env_steps"]]  # the one before training is missing
    assert "before training" not in shown(tree, 100)


def test_the_table_describes_how_the_episodes_were_chosen() -> None:
    assert "1 episode: chosen by hand" in table_of(REACHED)


def test_the_title_of_a_narrow_table_is_one_line() -> None:
    assert "1 episode: chosen by hand" in table_of(EpisodeResult(1.0, 1)).splitlines()


def table_of(*results: EpisodeResult, width: int = 100) -> str:
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, list(results), episodes(len(results)))
    console = Console(width=width, record=True, force_terminal=False)
    console.print(summary.evaluation_table([("dreamerv3", row)]))
    return console.export_text()


def test_the_table_shows_every_column_within_100_columns() -> None:
    driven = {"path_length": 20.0, "route_length": 10.0, "time_s": 12.5, "min_clearance": 0.75}
    ends = ("success", "pedestrian_collision", "wall_collision", "robot_collision", "timeout")
    text = table_of(*[EpisodeResult(-1234.5, 2000, outcome=outcome, **driven) for outcome in ends])
    assert "…" not in text
    values = ["20%", "(4-62)", "0.10", "20%", "20%", "20%", "20%", "12.5", "0.75", "-1234.50"]
    (line,) = [line.split() for line in text.splitlines() if line.startswith("dreamerv3")]
    assert line == ["dreamerv3", *values]


def test_a_line_lists_impossible_episodes_and_the_success_without_them() -> None:
    impossible = EpisodeResult(0.0, 1, outcome="wall_collision", scenario="door", impossible=True)
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, [REACHED, impossible], episodes(2))
    assert summary.impossible_line(row) == (
        "1 episode was impossible (in collision after the first step whatever the action): door (seed 1); "
        "success without 100% (21-100)"
    )
    assert summary.impossible_line(evaluation_row("dreamerv3", TRAINED, 0, 0, [REACHED], episodes(1))) is None


def test_the_end_of_a_run_lists_impossible_episodes_too() -> None:
    impossible = EpisodeResult(0.0, 1, outcome="wall_collision", scenario="door", impossible=True)
    row = evaluation_row("dreamerv3", TRAINED, 0, 0, [REACHED, impossible], episodes(2))
    assert [one["seed"] for one in row["outcomes"]] == [0, 1]
    assert summary.impossible_line(summary.without_outcomes(row)) == summary.impossible_line(row)
    assert "outcomes" not in summary.without_outcomes(
        evaluation_row("dreamerv3", TRAINED, 0, 0, [REACHED], episodes(1))
    )


def test_collisions_with_robots_have_a_column_if_there_were_any() -> None:
    assert "rob." not in table_of(REACHED)
    assert "rob." in table_of(EpisodeResult(0.0, 1, outcome="robot_collision"))


def test_a_task_without_outcomes_shows_only_return_and_steps() -> None:
    (heading, _, line) = table_of(EpisodeResult(123.0, 200)).splitlines()[-3:]
    assert heading.split() == ["policy", "return", "steps"]
    assert line.split() == ["dreamerv3", "123.00", "200"]


def test_the_learning_curve_is_drawn(run: RunDirectory) -> None:
    path = summary.draw_learning_curve(run)
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_learning_curve_of_a_run_without_updates_is_drawn(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    append_row(directory.result, {"env_steps": 16, **window_figures([]), **dict.fromkeys(LEARNER_METRICS)})
    path = summary.draw_learning_curve(directory)
    assert path is not None
    assert path.is_file()


def test_a_run_without_rows_has_no_learning_curve(tmp_path: Path) -> None:
    assert summary.draw_learning_curve(RunDirectory(tmp_path)) is None


def test_the_end_lists_commands_that_fit_the_run(tmp_path: Path) -> None:
    root = tmp_path / "a run"
    (root / "wandb" / "offline-run-1").mkdir(parents=True)

    lines = summary.next_lines({"final": {"iteration": 105}}, root, imports=True)

    assert [shlex.split(line.partition(":  ")[2])[3:] for line in lines[1:]] == [
        ["evaluate", str(root), "episodes=100", "video=3", "trust=true"],
        [f"resume='{root}'", "run.train_iterations=210"],
        ["runs", "sync", str(root)],
    ]
