"""The report of a trained policy: what is printed and what is written."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.evaluation.report import EvaluationReport
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.evaluation.video.write import film_suffix
from tests.evaluation.policies import Still
from tests.experiments import nano, nano_gym
from tests.training import odd_envs  # noqa: F401  # registers Blind


def evaluate(experiment: Experiment, folder: Path, videos: int = 0) -> str:
    """Evaluate a policy; return what is printed in a terminal of 100 columns."""
    console = Console(width=100, record=True, force_terminal=False)
    EvaluationReport(experiment, Still, "weights", "a run", folder / "evaluation", console).evaluate(
        {"run": "a run"}, 512, 8, FilmRequest(videos)
    )
    return console.export_text()


def test_the_table_lists_policy_and_baselines_and_the_files_are_printed(tmp_path: Path) -> None:
    text = evaluate(nano(), tmp_path, videos=1)
    assert "…" not in text
    for name in ("dreamerv3", "random", "straight_to_goal", "orca"):
        assert f"\n{name}" in text
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["evaluation.json", "evaluation_paths.png", f"evaluation_seed1000000_timeout{film_suffix()}"]
    assert [name for name in written if f"{tmp_path / name}\n" not in text] == []


def test_a_baseline_has_a_row_where_the_policy_observes_something_else(tmp_path: Path) -> None:
    text = evaluate(nano("env=crowd_nav_socnav_grid_32x32", "obs_contract=socnav_grid"), tmp_path)
    assert "\nstraight_to_goal" in text


def test_the_json_holds_every_episode_of_every_policy(tmp_path: Path) -> None:
    evaluate(nano("evaluation.baselines=[random]"), tmp_path)
    tree = json.loads((tmp_path / "evaluation.json").read_text())
    assert tree["run"] == "a run"
    assert [(row["policy"], row["kind"], row["env_steps"]) for row in tree["evaluations"]] == [
        ("dreamerv3", "trained", 512),
        ("random", "baseline", 0),
    ]
    assert [[episode["seed"] for episode in row["outcomes"]] for row in tree["evaluations"]] == [[1000000, 1000001]] * 2


@pytest.mark.parametrize("line", ["Paths: none, env=gym has no map",
                                  "not for env=gym: baseline straight_to_goal"])  # fmt: skip
def test_an_unsupported_part_of_the_report_is_one_line(tmp_path: Path, line: str) -> None:
    text = evaluate(nano_gym("Blind-v0", "evaluation.baselines=[random,straight_to_goal]"), tmp_path)
    assert [printed.startswith(line) for printed in text.splitlines()].count(True) == 1


def test_films_that_cannot_be_made_are_refused_before_anything_is_evaluated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^video=2: env.id='Blind-v0' cannot be filmed: no frames: "):
        evaluate(nano_gym("Blind-v0"), tmp_path, videos=2)
    assert list(tmp_path.iterdir()) == []
