"""Reading of run directories, also with broken or foreign files."""

import json
import os
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamer_exp.compare import read
from dreamer_exp.compare.model import Run
from dreamer_exp.compare.read import read_run, read_runs
from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.rundir.display import MAX_NUMBER
from tests.compare.folders import config, evaluation, row, write_rows, write_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", returns=[None, 2.0, 3.0])


def test_complete_run_is_read_without_a_fault(root: Path) -> None:
    run = read_run(root, "name")
    assert (run.root, run.name, run.state, run.error, run.faults) == (root, "name", "finished", None, ())
    assert run.config["algo.training_ratio"] == 32.0
    assert "fingerprint" not in run.config
    assert run.provenance["packages"] == {"torch": "2.13.0"}
    np.testing.assert_array_equal(run.rows["env_steps"], [100.0, 200.0, 300.0])
    np.testing.assert_array_equal(run.rows["episode_return_window"], [np.nan, 2.0, 3.0])


def test_only_requested_columns_are_kept_and_all_names_are_reported(root: Path) -> None:
    run = read_run(root, "run", ["loss/world_model", "not there"])
    assert list(run.rows) == ["env_steps", "time/total_s", "loss/world_model"]
    assert run.columns == ("iteration", "env_steps", "episode_return_window", "loss/world_model", "time/total_s")


def test_number_of_episodes_is_kept_with_any_requested_columns(root: Path) -> None:
    write_rows(root / "result.jsonl", [{**row(1, 1.0), "episodes_total": 7}])
    assert read_run(root, "run", ["loss/world_model"]).rows["episodes_total"].tolist() == [7.0]


def test_episodes_of_an_evaluation_become_counts(root: Path) -> None:
    evaluations = read_run(root, "run").evaluations
    assert "outcomes" not in evaluations[1]
    assert evaluations[1]["outcome_counts"] == {"success": 5, "timeout": 15}


def test_column_that_begins_in_a_later_row_is_read(root: Path) -> None:
    append_row(root / "result.jsonl", {**row(4, 4.0), "new": 7})
    np.testing.assert_array_equal(read_run(root, "run").rows["new"], [np.nan, np.nan, np.nan, 7.0])


figures = st.floats(-MAX_NUMBER, MAX_NUMBER) | st.integers(-(2**53), 2**53) | st.none()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(figures, min_size=3, max_size=3), min_size=1, max_size=5))
def test_rows_equal_those_of_the_json_module(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[float]]
) -> None:
    root = tmp_path_factory.mktemp("rows")
    (root / "status.json").write_text("{}")
    for number, (one, two, three) in enumerate(values):
        append_row(root / "result.jsonl", {"env_steps": number, "loss/ä": one, "b": two, "c": three})
    expected = [json.loads(line) for line in (root / "result.jsonl").read_text().splitlines()]
    for columns in (None, ("loss/ä", "b", "c")):
        rows = read_run(root, "run", columns).rows
        for name in ("env_steps", "loss/ä", "b", "c"):
            column = np.array([np.nan if one[name] is None else float(one[name]) for one in expected])
            np.testing.assert_array_equal(rows[name], column)


def faults(root: Path) -> tuple[str, ...]:
    return read_run(root, "run").faults


def test_incomplete_last_line_is_a_fault_and_left_out(root: Path) -> None:
    with open(root / "result.jsonl", "a") as file:
        file.write('{"env_steps": 400, "episode_ret')
    assert len(read_run(root, "run").rows["env_steps"]) == 3
    assert faults(root) == ("result.jsonl: the last line is cut off",)


def test_complete_last_line_without_a_newline_counts(root: Path) -> None:
    text = (root / "result.jsonl").read_text()
    (root / "result.jsonl").write_text("not a row\n" + text.rstrip("\n"))
    assert len(read_run(root, "run").rows["env_steps"]) == 3
    assert faults(root) == ("result.jsonl: line 1 is not a row",)


def test_lines_that_are_not_rows_are_counted(root: Path) -> None:
    lines = ["3", "[1]", '{"a": 1}', '{"env_steps": "many"}', "\x00"]
    (root / "result.jsonl").write_text("\n".join([json.dumps(row(1, 1.0)), *lines, json.dumps(row(2, 1.0))]) + "\n")
    assert list(read_run(root, "run").rows["env_steps"]) == [100.0, 200.0]
    assert faults(root) == ("result.jsonl: line 2 and 4 more are not rows",)


def test_value_that_is_not_a_number_is_a_fault_and_nan(root: Path) -> None:
    write_rows(root / "result.jsonl", [{**row(1, 1.0), "loss/world_model": "low"}, row(2, 2.0)])
    np.testing.assert_array_equal(read_run(root, "run").rows["loss/world_model"], [np.nan, 0.5])
    np.testing.assert_array_equal(read_run(root, "run").rows["episode_return_window"], [1.0, 2.0])
    assert faults(root) == ("result.jsonl: not always a number: loss/world_model",)


@pytest.mark.parametrize("name", ["experiment.yaml", "provenance.json", "status.json", "result.jsonl"])
def test_missing_file_is_a_fault(root: Path, name: str) -> None:
    (root / name).unlink()
    assert faults(root) == (f"{name}: missing",)


def test_run_without_evaluations_has_no_fault(root: Path) -> None:
    (root / "evaluation.jsonl").unlink()
    assert read_run(root, "run").evaluations == ()
    assert faults(root) == ()


@pytest.mark.parametrize(
    "content", [b"", b"[1, 2]", b"{", b"\xff\xfe\x00", b"a: [", b"- 1", b"!!python/object:os.system {}"]
)
@pytest.mark.parametrize("name", ["experiment.yaml", "provenance.json", "status.json"])
def test_foreign_content_is_a_fault(root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)
    kind = name.rpartition(".")[2].upper()
    assert faults(root) == (f"{name}: cannot be read as {kind}",)


def test_folder_in_place_of_a_file_is_a_fault(root: Path) -> None:
    (root / "result.jsonl").unlink()
    (root / "result.jsonl").mkdir()
    assert faults(root) == ("result.jsonl: Is a directory",)


def test_error_of_a_failed_run_is_kept(tmp_path: Path) -> None:
    error = {"type": "Diverged", "message": "not finite after 7 updates"}
    run = read_run(write_run(tmp_path / "run", status={"state": "failed", "error": error}), "run")
    assert (run.state, run.error) == ("failed", "Diverged: not finite after 7 updates")


def state_with_process(tmp_path: Path, pid: object, host: str) -> str:
    status = {"state": "running", "pid": pid, "host": host}
    return read_run(write_run(tmp_path / f"{pid}_{host}", status=status), "run").state


def test_run_without_its_process_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert state_with_process(tmp_path, process.pid, socket.gethostname()) == "running"
    assert state_with_process(tmp_path / "then", process.pid, socket.gethostname()) == "dead"


def test_process_on_another_host_counts_as_running(tmp_path: Path) -> None:
    assert state_with_process(tmp_path, os.getpid(), "another-host") == "running"


def test_a_number_that_no_process_can_have_is_a_dead_run(tmp_path: Path) -> None:
    assert state_with_process(tmp_path, "not a number", socket.gethostname()) == "dead"


def test_status_without_a_state_is_unknown(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path / "run", status={"state": 3}), "run").state == "unknown"


def test_killed_run_has_the_error_that_its_sweep_recorded(tmp_path: Path) -> None:
    status = {"state": "running", "pid": 2**22 + 1, "host": socket.gethostname()}
    root = write_run(tmp_path / "0_x=1", status=status)
    job = {"num": 0, "name": "algo.x=1", "state": "failed", "error": "killed by SIGKILL"}
    (root / "job.json").write_text(json.dumps(job))
    run = read_run(root, "0_x=1")
    assert (run.state, run.error, run.job) == ("failed", "killed by SIGKILL", job)
    (root / "job.json").write_text(json.dumps({**job, "state": "running", "error": None}))
    assert read_run(root, "0_x=1").state == "dead"


@pytest.mark.parametrize(("own", "state"), [("interrupted", "failed"), ("finished", "finished")])
def test_run_that_its_sweep_ended_has_failed(tmp_path: Path, own: str, state: str) -> None:
    root = write_run(tmp_path / "0_x=1", status={"state": own})
    (root / "job.json").write_text(json.dumps({"state": "failed", "error": "sweep.job_timeout=60"}))
    assert read_run(root, "0_x=1").state == state


def read_job(root: Path, job: dict[str, object], output: str = "") -> Run:
    (root / "job.json").write_text(json.dumps(job))
    (root / "console.log").write_text(output)
    return read_run(root, "7_gamma=2")


def test_job_that_never_became_a_run_has_the_error_of_its_sweep(tmp_path: Path) -> None:
    (tmp_path / "requested.yaml").write_text("fingerprint: x\nalgo:\n  gamma: 2\n")
    run = read_job(tmp_path, {"state": "failed", "error": "memory"}, "Traceback\n")
    assert (run.state, run.error, run.config) == ("failed", "memory", {"algo.gamma": 2})
    assert run.faults == ("the run was not started: experiment.yaml is missing",)
    assert {name: len(column) for name, column in run.rows.items()} == {"env_steps": 0, "time/total_s": 0}


def test_job_without_a_recorded_error_has_its_last_line_of_output(tmp_path: Path) -> None:
    run = read_job(tmp_path, {}, "starting\nUserError: algo.gamma=2 is out of range\n\n")
    assert (run.state, run.error) == ("failed", "UserError: algo.gamma=2 is out of range")


@pytest.mark.parametrize("job", [{"state": "waiting"}, {}])
def test_job_that_waits_or_printed_nothing_is_not_started(tmp_path: Path, job: dict[str, object]) -> None:
    run = read_job(tmp_path, job)
    assert (run.state, run.error) == ("not started", None)


def test_many_runs_are_read_equally_by_a_pool_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [(write_run(tmp_path / str(i), config(seed=i), returns=[float(i)]), f"run {i}") for i in range(4)]
    serial = list(read_runs(named))
    monkeypatch.setattr(read, "MANY", 2)
    parallel = list(read_runs(named))
    assert [content(run) for run in parallel] == [content(run) for run in serial]
    assert [run.name for run in parallel] == ["run 0", "run 1", "run 2", "run 3"]


def content(run: Run) -> tuple[object, ...]:
    return run.root, run.config, run.evaluations, {name: values.tolist() for name, values in run.rows.items()}


def test_links_in_a_run_are_faults_and_show_nothing_of_their_targets(root: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text('{"state": "failed", "error": "private"}')
    (root / "job.json").symlink_to(tmp_path / "private")
    run = read_run(root, "run")
    assert (run.state, run.error, run.job) == ("finished", None, {})
    assert run.faults == ("job.json: is a symbolic link, which is not followed",)


def test_console_log_that_is_a_link_shows_nothing_of_its_target(tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "console.log").symlink_to(tmp_path / "private")
    assert read_run(tmp_path / "job", "job").error is None


def test_numbers_that_are_no_measurement_are_missing_and_a_fault(root: Path) -> None:
    append_row(root / "result.jsonl", {**row(4, 4.0), "loss/world_model": 1e308})
    run = read_run(root, "run")
    assert np.isnan(run.rows["loss/world_model"]).tolist() == [False, False, False, True]
    assert run.faults == ("result.jsonl: not always a number: loss/world_model",)


def test_texts_of_files_are_printable(root: Path) -> None:
    write_json(root / "provenance.json", {"gpu_names": ["\x1b[2J"], "packages": {"a\x07": "\x1b"}})
    (root / "experiment.yaml").write_text('run: {id: "\\e[31m", 7: 2026-01-01}\n')
    run = read_run(root, "run")
    assert run.provenance == {"gpu_names": [r"\x1b[2J"], "packages": {r"a\x07": r"\x1b"}}
    assert run.config == {"run.id": r"\x1b[31m", "run.7": "2026-01-01"}


def test_a_million_rows_are_kept_as_numbers(tmp_path: Path) -> None:
    """As Python objects they would take half a gigabyte."""
    (tmp_path / "status.json").write_text("{}")
    (tmp_path / "result.jsonl").write_text('{"env_steps":1,"time/total_s":2}\n' * 200_000)
    tracemalloc.start()
    run = read_run(tmp_path, "run", ["loss/world_model"])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(run.rows["env_steps"]) == 200_000
    assert peak_bytes < 30 * 2**20


def test_evaluations_of_other_shapes_are_left_out(root: Path) -> None:
    good = evaluation(100, 3)
    write_rows(root / "evaluation.jsonl", [{"env_steps": 1}, {**good, "policy": 3}, {**good, "outcomes": "none"}, good])
    assert [one.get("outcome_counts") for one in read_run(root, "run").evaluations] == [
        None,
        {"success": 3, "timeout": 17},
    ]


def test_an_evaluation_of_an_unknown_format_is_left_out_with_a_fault(root: Path) -> None:
    write_rows(root / "evaluation.jsonl", [evaluation(100, 3), {**evaluation(200, 4), "format": 99}])
    run = read_run(root, "run")
    assert [row["env_steps"] for row in run.evaluations] == [100]
    (fault,) = run.faults
    assert fault.startswith("evaluation.jsonl: format=99 is unknown, allowed: 1, 2")


def test_spl_of_an_older_evaluation_is_missing(root: Path) -> None:
    rows = [{**evaluation(100, 3), "spl": 0.15}, {**evaluation(200, 3), "format": 2, "spl": 0.14}]
    write_rows(root / "evaluation.jsonl", rows)
    assert [row["spl"] for row in read_run(root, "run").evaluations] == [None, 0.14]
