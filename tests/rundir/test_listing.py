"""`python -m dreamer_exp.runs`: what the list says of each run, and that nothing found on a disk makes it fail."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.listing import list_runs, read_listed
from dreamer_exp.rundir.status import state_of
from dreamer_exp.rundir.tail import BLOCK, lines_from_end
from dreamer_exp.rundir.wandb_folders import keep_failure, offline_of
from tests.paths import CHECKOUT

NOBODY = 2**22 + 1  # more than Linux gives to processes
ROW = {"iteration": 9, "env_steps": 640, "episodes_total": 45, "success_rate_window": 0.4}
EVALUATED = {"policy": "dreamerv3", "env_steps": 600, "episodes": 20, "success_rate": 0.75}


def make_run(root: Path, state: str = "finished", days: float = 2.0, **status: Any) -> RunDirectory:
    """A run that began some days ago and wrote one row."""
    run = RunDirectory(root)
    started = datetime.now(UTC) - timedelta(days=days)
    tree = {"state": state, "started_utc": started.isoformat(), "env_steps": 600, "pid": NOBODY,
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


def test_without_words_it_lists_outputs_and_multirun_newest_first(tmp_path: Path) -> None:
    make_run(tmp_path / "outputs" / "old", days=9)
    make_run(tmp_path / "multirun" / "sweep" / "0_seed=1", days=1)
    make_run(tmp_path / "outputs" / "new", days=0.1)
    make_run(tmp_path / "elsewhere" / "run")
    done = listing(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [run["run"] for run in json.loads(done.stdout)] == ["outputs/new", "multirun/sweep/0_seed=1", "outputs/old"]


def test_the_table_tells_state_age_steps_success_size_and_wandb_in_100_columns(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / f"dreamer_{'x' * 70}", days=2.1)
    append_row(run.evaluation, EVALUATED)
    (run.root / "checkpoint").write_bytes(bytes(3 * 2**20))
    make_offline(run.root, "1")
    done = listing(tmp_path)
    assert max(map(len, done.stdout.splitlines())) <= 100
    (line,) = [line for line in done.stdout.splitlines() if "finished" in line]
    assert " ".join(line.split()[1:]) == "finished 2 d 640 75% of 20 3.0 MiB 1 unsynced"


def test_what_is_broken_is_told_below_the_table(tmp_path: Path) -> None:
    run = make_run(tmp_path / "outputs" / "run")
    run.status.write_text('{"state": "fin')
    done = listing(tmp_path)
    assert done.returncode == 0
    assert "outputs/run: status.json is no JSON" in done.stdout


@pytest.mark.parametrize(("word", "told"), [("nowhere", "nowhere is no folder"), ("--jsn", "--jsn: the only flag")])
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, word: str, told: str) -> None:
    done = listing(tmp_path, word)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_nothing_lies_it_says_so(tmp_path: Path) -> None:
    done = listing(tmp_path)
    assert (done.returncode, done.stdout) == (0, "No runs here: name a folder, or go to where outputs/ lies.\n")


def test_neither_ray_nor_torch_nor_wandb_is_imported() -> None:
    code = "import sys, dreamer_exp.cli.runs; print({'ray', 'torch', 'wandb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


# one run


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({"state": "finished"}, "finished"),
        ({"state": "running", "host": socket.gethostname(), "pid": NOBODY}, "dead"),
        ({"state": "running", "host": "another", "pid": NOBODY}, "running"),  # nobody here can know
        ({"state": "running", "host": socket.gethostname(), "pid": -1}, "dead"),
        ({"state": 3}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_run_whose_process_is_gone_is_dead(status: dict[str, Any], state: str) -> None:
    assert state_of(status) == state


@pytest.mark.parametrize(("hours", "state"), [(7.0, "dead"), (5.0, "running")])
def test_a_run_of_another_host_is_dead_once_it_is_silent_for_six_hours(hours: float, state: str) -> None:
    updated = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    assert state_of({"state": "running", "host": "another", "pid": 1, "updated_utc": updated}) == state
    assert state_of({"state": "running", "host": "another", "pid": 1, "updated_utc": [3]}) == "running"


@pytest.mark.parametrize(
    ("command", "state"),
    [([sys.executable, "-c", "input()"], "running"), (["cat"], "dead")],
    ids=["at work", "its process's number went to another program"],
)
def test_a_run_is_at_work_while_a_python_has_its_process_number(command: list[str], state: str) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert state_of({"state": "running", "host": socket.gethostname(), "pid": process.pid}) == state


def test_success_is_the_last_evaluations_of_the_trained_policy(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for row in ({**EVALUATED, "success_rate": 0.1}, EVALUATED, {**EVALUATED, "policy": "orca", "success_rate": 1.0}):
        append_row(run.evaluation, row)
    assert str(read_listed(tmp_path).success) == "75% of 20"


@pytest.mark.parametrize(("episodes", "told"), [(45, "40% of last 45"), (700, "40% of last 100")])
def test_without_an_evaluation_after_training_success_is_the_windows(tmp_path: Path, episodes: int, told: str) -> None:
    run = make_run(tmp_path)
    append_row(run.result, {**ROW, "episodes_total": episodes})
    append_row(run.evaluation, {**EVALUATED, "env_steps": 0})
    assert str(read_listed(tmp_path).success) == told


def test_a_task_without_outcomes_has_no_success(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    append_row(run.evaluation, {**EVALUATED, "success_rate": None})
    assert read_listed(tmp_path).success is None


def test_the_size_is_that_of_all_files_and_links_are_not_followed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = read_listed(run.root).bytes
    (tmp_path / "big").write_bytes(bytes(5000))
    (run.root / "wandb").mkdir()
    (run.root / "wandb" / "file").write_bytes(bytes(700))
    (run.root / "latest").symlink_to(tmp_path / "big")
    assert 700 <= read_listed(run.root).bytes - before < 5000


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


def brackets_for_a_row(run: RunDirectory) -> None:
    with open(run.result, "a") as file:
        file.write("[" * 100_000)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (brackets, "status.json is no JSON"),
        (brackets_for_a_row, "result.jsonl: 1 broken line at its end"),
        (broken_status, "status.json is no JSON"),
        (foreign_status, "status.json holds no run's state"),
        (no_status, "status.json is missing"),
        (half_a_row, "result.jsonl: 1 broken line at its end"),
        (a_folder_for_rows, "evaluation.jsonl cannot be read (Is a directory)"),
    ],
)
def test_a_broken_file_is_told_and_the_rest_of_the_run_still_listed(tmp_path: Path, harm: Any, told: str) -> None:
    harm(make_run(tmp_path))
    listed = read_listed(tmp_path)
    assert listed.faults == (told,)
    assert listed.env_steps == 640


def test_figures_of_a_wrong_kind_are_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, started_utc="yesterday")
    append_row(run.result, {"env_steps": "many", "success_rate_window": 10**400, "episodes_total": {}})
    listed = read_listed(tmp_path)
    assert (listed.env_steps, listed.success) == (None, None)
    assert datetime.now(UTC) - listed.started < timedelta(minutes=5)  # its directory's


def test_a_run_that_cannot_be_read_at_all_costs_no_other(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    make_run(tmp_path / "odd", started_utc="9999-12-31T23:59:59-23:59")  # a time that UTC has no room for
    (tmp_path / "odd" / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "odd" / "wandb" / "offline-run-1" / "run-1.wandb").write_bytes(b":W&B and more")
    (tmp_path / "odd" / "wandb" / "offline-run-1" / "run-1.wandb.synced").symlink_to("x" * 300)  # too long to look up
    odd, good = list_runs([tmp_path])
    assert (good.state, odd.state) == ("finished", "unknown")
    assert odd.faults[0].startswith("cannot be read (OSError: ")


def test_a_name_that_is_no_text_can_be_printed(tmp_path: Path) -> None:
    make_run(Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")))
    assert [Path(run.name).name for run in list_runs([tmp_path])] == [r"r\xff"]


# what is a run, and where


def found(root: Path) -> list[str]:
    return sorted(run.root.relative_to(root).as_posix() for run in list_runs([root]))


def test_runs_are_found_at_the_folder_itself_and_three_below_it(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "b" / "c")
    make_run(tmp_path / "a" / "b" / "c" / "checkpoints" / "inner")  # of a run nothing more is looked at
    make_run(tmp_path / "a" / "b" / "d" / "too_deep")
    assert found(tmp_path) == ["a/b/c"]
    assert found(tmp_path / "a" / "b" / "c") == ["."]


def test_a_run_under_two_of_the_folders_is_listed_once(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "run")
    assert len(list_runs([tmp_path, tmp_path / "a", tmp_path / "a" / ".." / "a"])) == 1


def test_links_are_not_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere" / "run")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    assert found(tmp_path / "here") == []


# W&B


def told_of_wandb(run: Path) -> str:
    return str(offline_of(run))


def test_wandb_is_none_synced_unsynced_failed_or_online(tmp_path: Path) -> None:
    assert told_of_wandb(tmp_path) == "none"
    (tmp_path / "wandb" / "run-20260101_000000-0").mkdir(parents=True)
    assert told_of_wandb(tmp_path) == "online"
    make_offline(tmp_path, "1", is_synced=True)
    assert told_of_wandb(tmp_path) == "synced"
    make_offline(tmp_path, "2")
    make_offline(tmp_path, "3")
    assert told_of_wandb(tmp_path) == "2 unsynced"
    keep_failure(tmp_path, "offline-run-20260101_000003", "over quota")
    assert told_of_wandb(tmp_path) == "1 failed, 1 unsynced"


def test_a_folder_whose_process_died_before_its_first_record_is_nothing_to_sync(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (file,) = tmp_path.rglob("*.wandb")
    file.write_bytes(b":W&B\x00\x00\x00")
    assert told_of_wandb(tmp_path) == "none"


def test_a_log_that_is_a_link_to_nothing_is_nothing_to_sync(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (file,) = tmp_path.rglob("*.wandb")
    file.unlink()
    file.symlink_to("gone")
    assert told_of_wandb(tmp_path) == "none"


def test_a_broken_memory_of_failures_forgets_only_the_reasons(tmp_path: Path) -> None:
    make_offline(tmp_path, "1")
    (tmp_path / "wandb" / "sync_failures.json").write_text("{")
    assert told_of_wandb(tmp_path) == "1 unsynced"


# pieces


@pytest.mark.parametrize("length", [10, BLOCK - 1, BLOCK, 3 * BLOCK + 7])
def test_lines_come_from_the_end_whatever_their_length(tmp_path: Path, length: int) -> None:
    lines = [bytes([65 + i]) * length for i in range(5)]
    (tmp_path / "rows").write_bytes(b"\n".join(lines))
    assert list(lines_from_end(tmp_path / "rows")) == lines[::-1]


def test_a_line_without_an_end_is_given_up(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with open(run.result, "a") as file:
        file.truncate(2**26)  # one line of zeros
    begin = time.process_time()
    listed = read_listed(tmp_path)
    assert (listed.env_steps, listed.faults) == (600, ("result.jsonl: 1 broken line at its end",))
    assert time.process_time() - begin < 3


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    """A gigabyte with holes where rows would be: reading it whole takes seconds."""
    run = make_run(tmp_path)
    with open(run.result, "r+b") as file:
        file.truncate(2**30)
        file.seek(2**30)
        file.write(b"\n" + json.dumps(ROW).encode() + b"\n")
    begin = time.process_time()
    assert read_listed(tmp_path).env_steps == 640
    assert time.process_time() - begin < 0.2


def test_a_thousand_runs_are_read_in_seconds(tmp_path: Path) -> None:
    for i in range(1000):
        folder = tmp_path / f"sweep_{i // 100}" / f"{i}"
        folder.mkdir(parents=True)
        (folder / "status.json").write_text('{"state": "finished"}')
        (folder / "result.jsonl").write_text(f"{json.dumps(ROW)}\n" * 200)
    begin = time.process_time()
    assert len(list_runs([tmp_path])) == 1000
    assert time.process_time() - begin < 2


def test_a_run_is_listed_with_everything_for_scripts(tmp_path: Path) -> None:
    run = make_run(tmp_path, state="failed", error={"type": "ValueError", "message": "no"})
    append_row(run.evaluation, EVALUATED)
    make_offline(tmp_path, "1")
    listed = read_listed(tmp_path)
    tree = json.loads(json.dumps(listed.to_dict()))
    assert (tree["state"], tree["error"], tree["env_steps"]) == ("failed", "ValueError: no", 640)
    assert tree["success"] == {"rate": 0.75, "episodes": 20, "is_evaluation": True}
    assert tree["wandb"] == {"state": "1 unsynced", "unsynced": ["offline-run-20260101_000001"], "failures": {}}
