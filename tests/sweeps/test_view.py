"""The state of a sweep, read from its files."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dreamer_exp.config.command_words import interpreter
from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.sweeps.records import JobRecord, SweepRecord, short
from dreamer_exp.sweeps.summary import show_summary, write_summary
from dreamer_exp.sweeps.table import counts, line, live_table, seconds_left
from dreamer_exp.sweeps.view import JobView, read_views
from tests.sweeps.sweeping import read

LATER = "2026-01-01T00:00:10+00:00"


def job(sweep: Path, num: int, state: str, status: Any = None, row: Any = None, *, error: str | None = None) -> Path:
    root = sweep / f"{num}_seed={num}"
    root.mkdir(parents=True)
    JobRecord(num, f"run.seed={num}", state, error, started_utc="2026-01-01T00:00:00+00:00").write(root)
    if status is not None:
        write_json(root / "status.json", {"state": state, "updated_utc": LATER, **status})
    if row is not None:
        append_row(root / "result.jsonl", {"env_steps": 64, **row})
    return root


def test_a_job_that_has_not_started_is_waiting(tmp_path: Path) -> None:
    assert read_views(tmp_path, ["run.seed=0"], [10]) == [JobView(0, "run.seed=0", "waiting")]


def test_a_running_job_shows_its_last_row_and_remaining_time(tmp_path: Path) -> None:
    status = {"env_steps": 64, "updates": 4, "iteration": 2, "wall_time_s": 10.0}
    job(tmp_path, 0, "running", status, {"episode_return_window": 3.5, "success_rate_window": None})
    (view,) = read_views(tmp_path, ["run.seed=0"], [10])
    assert (view.env_steps, view.episode_return, view.success_rate, view.seconds_left) == (64, 3.5, None, 40.0)


def test_files_of_an_earlier_attempt_are_ignored(tmp_path: Path) -> None:
    status = {"env_steps": 64, "iteration": 2, "wall_time_s": 10.0, "updated_utc": "2025-12-31T00:00:00+00:00"}
    job(tmp_path, 0, "running", status)
    assert read_views(tmp_path, ["run.seed=0"], [10])[0].env_steps is None


def test_a_finished_job_shows_its_summary(tmp_path: Path) -> None:
    root = job(tmp_path, 0, "finished", {"env_steps": 160}, {"success_rate_window": 0.1})
    write_json(root / "run_summary.json", {"final": {"success_rate_window": 0.8, "episode_return_window": 7.0}})
    (view,) = read_views(tmp_path, ["run.seed=0"], [10])
    assert (view.success_rate, view.episode_return, view.seconds_left) == (0.8, 7.0, None)


@pytest.mark.parametrize("state", ["running", "finished"])
def test_training_episodes_and_evaluations_are_separate_figures(tmp_path: Path, state: str) -> None:
    root = job(tmp_path, 0, state, {}, {"episode_return_window": 3.5, "success_rate_window": 0.1})
    rows = [("dreamerv3", 0, 0.0), ("dreamerv3", 64, 0.9), ("random", 64, 0.2)]
    for policy, steps, rate in rows:
        append_row(
            root / "evaluation.jsonl",
            {"policy": policy, "env_steps": steps, "success_rate": rate, "return_mean": 10 * rate},
        )
    (view,) = read_views(tmp_path, ["run.seed=0"], [10])
    assert (view.episode_return, view.success_rate) == (3.5, 0.1)
    assert (view.evaluated_return, view.evaluated_success) == (9.0, 0.9)


@pytest.mark.parametrize("activity", ["starting", "training", "evaluating"])
def test_a_running_job_shows_what_it_does(tmp_path: Path, activity: str) -> None:
    job(tmp_path, 0, "running", {"activity": activity})
    (view,) = read_views(tmp_path, ["run.seed=0"], [10])
    assert (view.state, view.shown) == ("running", activity)
    assert line(view) == f"job 0 (seed=0): {activity}"


def test_a_job_without_a_status_of_its_own_is_starting(tmp_path: Path) -> None:
    job(tmp_path, 0, "running")
    job(tmp_path, 1, "running", {"activity": "training", "updated_utc": "2025-12-31T00:00:00+00:00"})
    assert [view.shown for view in read_views(tmp_path, ["run.seed=0", "run.seed=1"], [10, 10])] == ["starting"] * 2


def test_an_ended_job_has_no_activity(tmp_path: Path) -> None:
    job(tmp_path, 0, "failed", {"activity": "training"})
    assert read_views(tmp_path, ["run.seed=0"], [10])[0].shown == "failed"


def test_jobs_chosen_by_a_sweeper_appear_when_they_start(tmp_path: Path) -> None:
    job(tmp_path, 3, "running", {})
    assert [(view.num, view.name) for view in read_views(tmp_path, [], [])] == [(3, "run.seed=3")]


def test_a_job_with_an_empty_directory_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "0_seed=0").mkdir()
    assert [(view.name, view.state) for view in read_views(tmp_path, ["run.seed=0"], [10])] == [
        ("run.seed=0", "waiting")
    ]


def test_damaged_files_do_not_hide_a_job(tmp_path: Path) -> None:
    root = job(tmp_path, 0, "running", {})
    (root / "status.json").write_text('{"state": "run', encoding="utf-8")
    (root / "result.jsonl").write_text('{"episode_retu', encoding="utf-8")
    assert read_views(tmp_path, ["run.seed=0"], [10])[0].state == "running"


def views(*states: str, **fields: Any) -> list[JobView]:
    return [JobView(num, f"run.seed={num}", state, **fields) for num, state in enumerate(states)]


def test_jobs_are_counted_by_state() -> None:
    assert counts(views("finished", "running", "waiting", "waiting"), 2) == "1 running, 1 finished, 2 waiting"


def test_running_jobs_are_counted_by_what_they_do() -> None:
    seen = [*views("running", activity="training"), *views("running", "running", activity="evaluating")]
    assert counts(seen, 3) == "1 training, 2 evaluating"


def test_the_remaining_time_counts_running_and_waiting_jobs() -> None:
    seen = [
        JobView(0, "", "finished", wall_time_s=100.0),
        JobView(1, "", "running", wall_time_s=60.0, seconds_left=40.0),
        JobView(2, "", "running", wall_time_s=40.0, seconds_left=60.0),
        JobView(3, "", "waiting"),
    ]
    assert seconds_left(seen, 2) == (40 + 60 + 100) / 2


def test_without_a_known_pace_there_is_no_remaining_time() -> None:
    assert seconds_left(views("running", "waiting"), 2) is None


def shown(seen: list[JobView], height: int) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(live_table(seen, 2, height))
    return console.export_text()


def test_running_and_failed_jobs_are_shown_first() -> None:
    text = shown(views(*["finished"] * 40, "running", "failed", *["waiting"] * 40), height=10)
    assert "seed=40" in text
    assert "seed=41" in text
    assert "77 more are not shown" in text


def test_a_job_fits_a_line_of_100_columns() -> None:
    seen = [JobView(11, "algo.training_ratio=64 run.seed=3", "interrupted", None, None, 1_234_567,
                    99, -12.34, 0.95, 7384.0, 8000.0, None, -10.25, 0.85)]  # fmt: skip
    (shown_line,) = [text for text in shown(seen, height=40).splitlines() if "training_ratio" in text]
    assert len(shown_line) <= 100
    assert all(
        word in shown_line
        for word in ("seed=3", "interrupted", "1,234,567", "-12.34", "0.95", "-10.25", "0.85", "2:03:04")
    )


def test_a_change_of_state_is_one_line() -> None:
    seen = JobView(2, "run.seed=2", "failed", None, "killed by SIGSEGV", 64)
    assert line(seen) == "job 2 (seed=2): failed, 64 env steps: killed by SIGSEGV"


def test_the_summary_has_a_row_for_each_job(tmp_path: Path) -> None:
    job(tmp_path, 0, "finished", {"env_steps": 160})
    job(tmp_path, 1, "failed", {"env_steps": 16}, error="killed by SIGSEGV")
    record = SweepRecord.new(["-m", "run.seed=0,1"], ["run.seed=0", "run.seed=1"], 2)
    write_summary(tmp_path, record, read_views(tmp_path, record.names, [10, 10]))
    tree = read(tmp_path / "sweep_summary.json")
    assert tree["states"] == {"finished": 1, "failed": 1}
    assert [(row["directory"], row["error"]) for row in tree["jobs"]] == [
        ("0_seed=0", None),
        ("1_seed=1", "killed by SIGSEGV"),
    ]


def test_the_end_prints_failed_jobs_and_how_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = job(tmp_path, 0, "failed", {"env_steps": 16}, error="killed by SIGSEGV")
    record = SweepRecord.new(["-m", "run.seed=0"], ["run.seed=0"], 1)
    show_summary(Console(width=100), tmp_path, record, read_views(tmp_path, record.names, [10]))
    out = capsys.readouterr().out
    assert f"job 0 (seed=0) failed: killed by SIGSEGV\n  {root}/console.log\n" in out
    assert f"{interpreter()} -m dreamer_exp sweep.resume={tmp_path}" in out


def test_a_search_is_not_offered_to_be_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job(tmp_path, 0, "failed", {"env_steps": 16}, error="killed by SIGSEGV")
    show_summary(Console(width=100), tmp_path, SweepRecord.new(["-m"], [], 1), read_views(tmp_path, [], []))
    assert "sweep.resume" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [
        ("algo.training_ratio=32 run.seed=1", "training_ratio=32 seed=1"),
        ("obs_contract.keys=[drive_state,rays] run.seed=1", "keys=[drive_state,rays] seed=1"),
        ("tracking.project='two words.x' run.seed=1", "project='two words.x' seed=1"),
        ("+env.kwargs.g=1", "g=1"),
    ],
)
def test_overrides_are_short_and_complete(name: str, shown_as: str) -> None:
    assert short(name) == shown_as
    assert shown_as.split(maxsplit=1)[0] in shown([JobView(0, name, "running")], height=20)


ODD = ["x", [], {}, 1e308, True, -1]


@pytest.mark.parametrize("state", ["running", "finished"])
@pytest.mark.parametrize("value", ODD)
def test_odd_values_in_the_files_of_a_job_are_shown_as_unknown_or_as_numbers(
    tmp_path: Path, state: str, value: Any
) -> None:
    status = dict.fromkeys(("env_steps", "updates", "iteration", "wall_time_s", "activity"), value)
    root = job(tmp_path, 0, state, status, dict.fromkeys(("episode_return_window", "success_rate_window"), value))
    write_json(root / "run_summary.json", {"final": value})
    views = read_views(tmp_path, ["run.seed=0"], [10])
    console = Console(width=100)
    with console.capture() as shown:
        console.print(live_table(views, 1, 20))
    assert "seed=0" in shown.get()


def test_a_job_with_values_of_other_types_is_waiting(tmp_path: Path) -> None:
    root = job(tmp_path, 0, "running")
    write_json(root / "job.json", {"num": 0, "name": "run.seed=0", "state": "running", "started_utc": 5})
    assert read_views(tmp_path, ["run.seed=0"], [10])[0].state == "waiting"


def test_a_folder_that_begins_with_a_digit_of_another_kind_is_no_job(tmp_path: Path) -> None:
    (tmp_path / "\u00b2_seed=0").mkdir()  # superscript two
    assert read_views(tmp_path, [], []) == []
