"""`python -m dreamer_exp.runs`: the list of runs, also with broken or foreign files."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.listing import list_runs, read_run_entry
from dreamer_exp.rundir.wandb_folders import read_offline_folders, record_failure
from tests.paths import CHECKOUT

ROW = {"iteration": 9, "env_steps": 640, "episodes_total": 45, "success_rate_window": 0.4}
EVALUATED = {"policy": "dreamerv3", "env_steps": 600, "episodes": 20, "success_rate": 0.75}


def make_run(root: Path, state: str = "finished", days: float = 2.0, **status: Any) -> RunDirectory:
    """Write a run that began some days ago and has one row."""
    run = RunDirectory(root)
    started = datetime.now(UTC) - timedelta(days=days)
    tree = {"state": state, "started_utc": started.isoformat(), "env_steps": 600, "pid": 2**22 + 1,
            "host": socket.gethostname(), "error": None, **status}  # fmt: skip
    write_json(run.status, tree)
    append_row(run.result, ROW)
    return run


def make_offline(run: Path, name: str, is_synced: bool = False) -> None:
    folder = run / "wandb" / f"offline-run-20260101_00000{name}"
    folder.mkdir(parents=True)
    (folder / f"run-{name}.wandb").write_bytes(b":W&B and more")
    if is_synced:
        (folder / f"run-{name}.wandb.synced").touch()


def listing(folder: Path, *words: str, columns: int = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dreamer_exp.runs", *words], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": str(columns)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


# the command


def test_without_arguments_it_lists_outputs_and_multirun_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path / "outputs" / "old", days=9)
    make_run(tmp_path / "multirun" / "sweep" / "0_seed=1", days=1)
    make_run(tmp_path / "outputs" / "new", days=0.1)
    make_run(tmp_path / "elsewhere" / "run")
    done = listing(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [run["run"] for run in json.loads(done.stdout)] == ["outputs/new", "multirun/sweep/0_seed=1", "outputs/old"]


def test_the_table_has_state_age_steps_success_size_and_wandb_in_100_columns(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / f"dreamer_{'x' * 70}", days=2.1)
    append_row(run.evaluation, EVALUATED)
    (run.root / "checkpoint").write_bytes(bytes(3 * 2**20))
    make_offline(run.root, "1")
    done = listing(tmp_path)
    assert max(map(len, done.stdout.splitlines())) <= 100
    (line,) = [line for line in done.stdout.splitlines() if "finished" in line]
    assert " ".join(line.split()) == "finished 2 d 640 75% of 20 3.0 MiB 1 unsynced"


def test_a_run_takes_one_line_where_its_name_fits(tmp_path: Path) -> None:
    make_run(tmp_path / "outputs" / "dreamer_20260101T000000Z_ab12")
    lines = listing(tmp_path).stdout.splitlines()
    assert lines[3].split()[:2] == ["dreamer_20260101T000000Z_ab12", "finished"]


def test_a_name_is_complete_in_80_columns(tmp_path: Path) -> None:
    name = "dreamer_20260101T000000Z_ab12"
    run = make_run(tmp_path / "outputs" / name, state="interrupted")
    append_row(run.evaluation, EVALUATED)
    make_offline(run.root, "1")
    lines = listing(tmp_path, columns=80).stdout.splitlines()
    assert f"  {name}" in lines
    assert max(map(len, lines[:5])) <= 80
    assert "1 unsynced" in lines[4]


def test_faults_are_printed_below_the_table(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "run")
    run.status.write_text('{"state": "fin')
    done = listing(tmp_path)
    assert done.returncode == 0
    assert "outputs/run: status.json: cannot be read as JSON" in done.stdout


@pytest.mark.parametrize(
    ("word", "message"), [("nowhere", "nowhere is not a folder"), ("--jsn", "--jsn: the only flag")]
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, word: str, message: str) -> None:
    done = listing(tmp_path, word)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_list_is_reported(tmp_path: Path) -> None:
    done = listing(tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "No runs here: name a folder, or change to the folder that holds outputs/.\n",
    )


def test_neither_ray_nor_torch_nor_wandb_is_imported() -> None:
    code = "import sys, dreamer_exp.cli.runs; print({'ray', 'torch', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


# one run


def test_success_is_that_of_the_trained_policys_last_evaluation(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    ppo = {**EVALUATED, "policy": "ppo", "kind": "trained"}
    for row in ({**EVALUATED, "success_rate": 0.1}, ppo, {**EVALUATED, "policy": "orca", "success_rate": 1.0}):
        append_row(run.evaluation, row)
    assert str(read_run_entry(tmp_path).success) == "75% of 20"


@pytest.mark.parametrize(("episodes", "text"), [(45, "40% of last 45"), (700, "40% of last 100")])
def test_without_an_evaluation_success_is_that_of_the_last_training_episodes(
    tmp_path: Path, episodes: int, text: str
) -> None:
    run = make_run(tmp_path)
    append_row(run.result, {**ROW, "episodes_total": episodes})
    append_row(run.evaluation, {**EVALUATED, "env_steps": 0})
    assert str(read_run_entry(tmp_path).success) == text


def test_an_environment_without_outcomes_has_no_success_rate(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    append_row(run.evaluation, {**EVALUATED, "success_rate": None})
    assert read_run_entry(tmp_path).success is None


def test_the_size_is_that_of_all_files_without_the_targets_of_links(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = read_run_entry(run.root).bytes
    (tmp_path / "big").write_bytes(bytes(5000))
    (run.root / "wandb").mkdir()
    (run.root / "wandb" / "file").write_bytes(bytes(700))
    (run.root / "latest").symlink_to(tmp_path / "big")
    assert 700 <= read_run_entry(run.root).bytes - before < 5000


def broken_status(run: RunDirectory) -> None:
    run.status.write_bytes(b"\xff\xfe\x00")


def foreign_status(run: RunDirectory) -> None:
    run.status.write_text("[1, 2]")


def no_status(run: RunDirectory) -> None:
    run.status.unlink()


def half_a_row(run: RunDirectory) -> None:
    with open(run.result, "a") as file:
        file.write('{"iteration": 10, "env_st')


def a_folder_for_rows(run: RunDirectory) -> None:
    run.evaluation.mkdir()


def brackets(run: RunDirectory) -> None:
    run.status.write_text("[" * 100_000)


def pipe_for_a_status(run: RunDirectory) -> None:
    run.status.unlink()
    os.mkfifo(run.status)


def brackets_for_a_row(run: RunDirectory) -> None:
    with open(run.result, "a") as file:
        file.write("[" * 100_000)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (brackets, "status.json: cannot be read as JSON"),
        (pipe_for_a_status, "status.json: is a named pipe"),
        (brackets_for_a_row, "result.jsonl: 1 broken line at the end"),
        (broken_status, "status.json: cannot be read as JSON"),
        (foreign_status, "status.json: cannot be read as JSON"),
        (no_status, "status.json: missing"),
        (half_a_row, "result.jsonl: 1 broken line at the end"),
        (a_folder_for_rows, "evaluation.jsonl: Is a directory"),
    ],
)
def test_a_broken_file_is_a_fault_and_the_rest_of_the_run_is_listed(
    tmp_path: Path, damage: Callable[[RunDirectory], None], fault: str
) -> None:
    damage(make_run(tmp_path))
    listed = read_run_entry(tmp_path)
    assert listed.faults == (fault,)
    assert listed.env_steps == 640


def test_values_of_a_wrong_type_are_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, started_utc="yesterday")
    append_row(run.result, {"env_steps": 700, "success_rate_window": "high", "episodes_total": {}})
    listed = read_run_entry(tmp_path)
    assert (listed.env_steps, listed.success) == (700, None)
    assert datetime.now(UTC) - listed.started < timedelta(minutes=5)  # when its directory changed


@pytest.mark.parametrize("started", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_utc_does_not_have_is_not_known(tmp_path: Path, started: str) -> None:
    make_run(tmp_path, started_utc=started)
    assert datetime.now(UTC) - read_run_entry(tmp_path).started < timedelta(minutes=5)


def test_control_characters_are_shown_not_sent(tmp_path: Path) -> None:
    error = {"type": "E\x1b[2J", "message": "\x1b]0;title\x07"}
    make_run(tmp_path / "outputs" / "r\x1b[31mred", state="failed", error=error)
    listed = list_runs([tmp_path])[0]
    assert (Path(listed.name).name, listed.error) == (r"r\x1b[31mred", r"E\x1b[2J: \x1b]0;title\x07")
    assert "\x1b" not in listing(tmp_path).stdout


@pytest.mark.parametrize("state", ["", "  ", "<b>", "failed\x1b[2J", "x" * 99, 3, None])
def test_a_state_that_is_not_a_word_is_unknown(tmp_path: Path, state: Any) -> None:
    make_run(tmp_path, state=state)
    assert read_run_entry(tmp_path).state == "unknown"


def test_unreadable_run_does_not_hide_others(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    make_run(tmp_path / "broken")
    (tmp_path / "broken" / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "broken" / "wandb" / "offline-run-1" / "run-1.wandb").write_bytes(b":W&B and more")
    (tmp_path / "broken" / "wandb" / "offline-run-1" / "run-1.wandb.synced").symlink_to("x" * 300)  # name too long
    broken, good = list_runs([tmp_path])
    assert (good.state, broken.state) == ("finished", "unknown")
    assert broken.faults[0].startswith("cannot be read (OSError: ")


def test_name_that_is_not_utf_8_can_be_printed(tmp_path: Path) -> None:
    make_run(Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")))
    assert [Path(run.name).name for run in list_runs([tmp_path])] == [r"r\xff"]


# which folders are runs


def found(root: Path) -> list[str]:
    return sorted(run.root.relative_to(root).as_posix() for run in list_runs([root]))


def test_runs_are_found_at_the_folder_itself_and_three_levels_below(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "b" / "c")
    make_run(tmp_path / "a" / "b" / "c" / "checkpoints" / "inner")  # not searched
    make_run(tmp_path / "a" / "b" / "d" / "too_deep")
    assert found(tmp_path) == ["a/b/c"]
    assert found(tmp_path / "a" / "b" / "c") == ["."]


def test_a_run_below_two_given_folders_is_listed_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "run")
    assert len(list_runs([tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "a"])) == 1


def test_a_link_to_a_run_is_followed_and_shown_as_such(tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere" / "run")
    (tmp_path / "figure").mkdir()
    (tmp_path / "figure" / "ours").symlink_to(run.root)
    (listed,) = list_runs([tmp_path / "figure"])
    assert (Path(listed.name).name, listed.link_to) == ("ours", str(run.root))
    assert f"figure/ours: a link to {run.root}" in listing(tmp_path, "figure").stdout


def test_links_to_other_folders_are_not_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere" / "run")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    assert found(tmp_path / "here") == []


# W&B


def wandb_state(run: Path) -> str:
    return str(read_offline_folders(run))


def test_the_state_of_wandb_is_none_online_synced_unsynced_or_failed(tmp_path: Path) -> None:
    assert wandb_state(tmp_path) == "none"
    (tmp_path / "wandb" / "run-20260101_000000-0").mkdir(parents=True)
    assert wandb_state(tmp_path) == "online"
    make_offline(tmp_path, "1", is_synced=True)
    assert wandb_state(tmp_path) == "synced"
    make_offline(tmp_path, "2")
    make_offline(tmp_path, "3")
    assert wandb_state(tmp_path) == "2 unsynced"
    record_failure(tmp_path, "offline-run-20260101_000003", "over quota")
    assert wandb_state(tmp_path) == "1 failed, 1 unsynced"


def test_a_folder_without_a_record_is_not_counted(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (file,) = tmp_path.rglob("*.wandb")
    file.write_bytes(b":W&B\x00\x00\x00")
    assert wandb_state(tmp_path) == "none"


def test_a_broken_link_is_not_counted(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (file,) = tmp_path.rglob("*.wandb")
    file.unlink()
    file.symlink_to("missing")
    assert wandb_state(tmp_path) == "none"


def test_a_broken_file_of_failures_loses_only_their_reasons(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (tmp_path / "wandb" / "sync_failures.json").write_text("{")
    assert wandb_state(tmp_path) == "1 unsynced"


# many


def test_a_thousand_runs_are_read_in_seconds(tmp_path: Path) -> None:
    for i in range(1000):
        folder = tmp_path / f"sweep_{i // 100}" / f"{i}"
        folder.mkdir(parents=True)
        (folder / "status.json").write_text('{"state": "finished"}')
        (folder / "result.jsonl").write_text(f"{json.dumps(ROW)}\n" * 200)
    begin = time.process_time()
    assert len(list_runs([tmp_path])) == 1000
    assert time.process_time() - begin < 2


def test_the_entry_for_scripts_holds_everything(tmp_path: Path) -> None:
    run = make_run(tmp_path, state="failed", error={"type": "ValueError", "message": "no"})
    append_row(run.evaluation, EVALUATED)
    make_offline(tmp_path, "1")
    listed = read_run_entry(tmp_path)
    tree = json.loads(json.dumps(listed.to_dict()))
    assert (tree["state"], tree["error"], tree["env_steps"]) == ("failed", "ValueError: no", 640)
    assert tree["success"] == {"rate": 0.75, "episodes": 20, "is_evaluation": True}
    assert tree["wandb"] == {"state": "1 unsynced", "unsynced": ["offline-run-20260101_000001"], "failures": {}}


def test_a_run_of_a_linked_sweep_is_listed_by_its_own_path(tmp_path: Path) -> None:
    make_run(tmp_path / "multirun" / "s" / "0_a")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "s").symlink_to(tmp_path / "multirun" / "s")
    (found,) = list_runs([tmp_path / "multirun", tmp_path / "links"])
    assert (found.root, found.link_to) == (tmp_path / "multirun" / "s" / "0_a", None)
