"""The terminal's table of an evaluation by scenario."""

from typing import Any

from rich.console import Console

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.monitoring.scenario_table import MAX_ROWS, scenario_table
from dreamer_exp.rundir.metric_names import TRAINED


def row_of(*ended: tuple[str, str], policy: str = "dreamerv3") -> dict[str, Any]:
    """Return the row of episodes given as (scenario, outcome)."""
    results = [EpisodeResult(0.0, 1, outcome=outcome, scenario=scenario) for scenario, outcome in ended]
    episodes = EpisodeList(tuple(map(EvaluationEpisode, range(len(results)))), "by hand")
    return evaluation_row(policy, TRAINED, 0, 0, results, episodes)


def text_of(row: dict[str, Any], *baselines: dict[str, Any]) -> list[str]:
    console = Console(width=80, record=True, force_terminal=False)
    console.print(scenario_table(row, baselines))
    return [line.strip() for line in console.export_text().splitlines() if line.strip()]


def test_the_worst_scenario_is_first_with_its_interval_and_outcomes() -> None:
    lines = text_of(row_of(("hall", "success"), ("door", "wall_collision"), ("door", "success")))
    assert lines[0] == "dreamerv3 by scenario, worst first"
    assert [line.split()[:5] for line in lines[3:]] == [
        ["door", "2", "50%", "(9-91)", "0%"],
        ["hall", "1", "100%", "(21-100)", "0%"],
    ]


def test_the_last_column_is_the_success_of_the_best_baseline() -> None:
    lines = text_of(
        row_of(("hall", "success"), ("door", "timeout")),
        row_of(("hall", "timeout"), ("door", "timeout"), policy="random"),
        row_of(("hall", "timeout"), ("door", "success"), policy="orca"),
    )
    assert (lines[1], lines[2].split()[-1]) == ("orca", "success")
    assert [line.split()[-1] for line in lines[4:]] == ["100%", "0%"]


def test_a_long_list_is_cut_and_counted() -> None:
    row = row_of(*[(f"scenario {place}", "success") for place in range(40)])
    lines = text_of(row)
    assert lines[0] == f"dreamerv3 by scenario, worst first; {MAX_ROWS} of 40"
    assert len(lines) == 3 + MAX_ROWS


def test_one_scenario_or_none_needs_no_table() -> None:
    assert scenario_table(row_of(("hall", "success"), ("hall", "timeout"))) is None
    assert scenario_table({"policy": "random", "by_scenario": {}}) is None
    assert scenario_table({"policy": "of an earlier format"}) is None


def test_brackets_in_names_are_shown() -> None:
    lines = text_of(row_of(("cross[fast]", "success"), ("a[/x]", "timeout")))
    assert {"cross[fast]", "a[/x]"} <= {line.split()[0] for line in lines}
