"""Rates by scenario as CSV and as a picture."""

import csv
import io
from pathlib import Path

from PIL import Image

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode
from dreamer_exp.evaluation.metrics import evaluation_row, rates_by_scenario
from dreamer_exp.evaluation.scenarios import draw_scenarios, label, scenarios_csv
from dreamer_exp.rundir.metric_names import TRAINED

RESULTS = [
    EpisodeResult(0.0, 1, outcome="success", scenario="hall"),
    EpisodeResult(0.0, 1, outcome="timeout", scenario="door"),
    EpisodeResult(0.0, 1, outcome="success", scenario="door"),
]
DRIVEN = EpisodeList(tuple(map(EvaluationEpisode, (7, 8, 9))), "by hand")
ONE = EpisodeList((EvaluationEpisode(7),), "by hand")


def test_the_table_has_a_line_for_each_policy_and_scenario_worst_first() -> None:
    rows = [evaluation_row(policy, TRAINED, 0, 0, RESULTS, DRIVEN) for policy in ("dreamerv3", "random")]
    lines = list(csv.DictReader(io.StringIO(scenarios_csv(rows))))
    assert [(line["policy"], line["scenario"], line["episodes"]) for line in lines] == [
        ("dreamerv3", "door", "2"),
        ("dreamerv3", "hall", "1"),
        ("random", "door", "2"),
        ("random", "hall", "1"),
    ]
    assert (lines[0]["success_rate"], lines[0]["timeout_rate"], lines[0]["collision_rate"]) == ("0.5", "0.5", "0.0")
    assert float(lines[0]["success_low"]) < 0.5 < float(lines[0]["success_high"])


def test_the_picture_grows_with_the_number_of_scenarios(tmp_path: Path) -> None:
    many = [EpisodeResult(0.0, 1, outcome="timeout", scenario=f"scenario {place} $x$") for place in range(40)]
    draw_scenarios(tmp_path / "few.png", "a run", rates_by_scenario(RESULTS))
    draw_scenarios(tmp_path / "many.png", "a run", rates_by_scenario(many))
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "many.png") as picture:
        assert picture.height > 3 * few.height


def test_a_long_name_is_shortened_in_the_middle() -> None:
    assert label("door", 3) == "door  (3)"
    assert label("a" * 40 + "b" * 40, 3) == "a" * 24 + "..." + "b" * 24 + "  (3)"


def test_a_name_is_no_formula_in_the_table() -> None:
    results = [EpisodeResult(0.0, 1, outcome="success", scenario="=1+1")]
    (line,) = csv.DictReader(io.StringIO(scenarios_csv([evaluation_row("p", TRAINED, 0, 0, results, ONE)])))
    assert line["scenario"] == "'=1+1"


def test_a_dollar_in_a_title_is_drawn_as_it_is(tmp_path: Path) -> None:
    draw_scenarios(tmp_path / "a.png", "a$\\x$b", rates_by_scenario(RESULTS))
    assert (tmp_path / "a.png").exists()
