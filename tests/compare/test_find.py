"""Search for run directories."""

import json
import os
from pathlib import Path

import pytest

from dreamer_exp.compare.find import find_runs
from dreamer_exp.rundir.layout import is_sweep
from tests.compare.folders import write_run


def names(*paths: Path) -> list[str]:
    return [name for _, name in find_runs(paths).named()]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Return a folder with two runs and a sweep of two."""
    folder = tmp_path / "outputs"
    write_run(folder / "a")
    write_run(folder / "b")
    write_run(folder / "sweep" / "0_x=1")
    write_run(folder / "sweep" / "1_x=2")
    (folder / "sweep" / "sweep_summary.json").write_text("{}")
    return folder


def test_paths_are_runs_sweeps_and_folders_in_any_mix(outputs: Path) -> None:
    assert names(outputs / "a") == ["a"]
    assert names(outputs / "sweep") == ["0_x=1", "1_x=2"]
    assert names(outputs) == ["a", "b", "sweep/0_x=1", "sweep/1_x=2"]
    assert names(outputs / "sweep", outputs / "a") == ["sweep/0_x=1", "sweep/1_x=2", "a"]


def test_run_given_twice_is_found_once(outputs: Path) -> None:
    (outputs / "latest").symlink_to(outputs / "a")
    assert names(outputs / "a", outputs / "latest", outputs / ".." / "outputs" / "a") == ["a"]
    assert "latest" not in names(outputs)


def test_a_folder_of_links_to_runs_is_followed_and_shows_where_they_lead(outputs: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure"
    figure.mkdir()
    (figure / "ours").symlink_to(outputs / "b")
    (figure / "theirs").symlink_to(outputs / "sweep")
    assert names(figure) == [
        f"ours -> {outputs / 'b'}",
        f"theirs/0_x=1 -> {outputs / 'sweep' / '0_x=1'}",
        f"theirs/1_x=2 -> {outputs / 'sweep' / '1_x=2'}",
    ]


def test_a_run_next_to_a_link_to_it_has_its_own_name(outputs: Path) -> None:
    (outputs / "Link").symlink_to(outputs / "a")  # sorted first
    assert names(outputs)[0] == "a"


def test_links_to_other_folders_and_to_themselves_are_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "elsewhere" / "deep" / "run")
    (tmp_path / "figure").mkdir()
    (tmp_path / "figure" / "all").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "figure" / "loop").symlink_to(tmp_path / "figure" / "loop")
    assert names(tmp_path / "figure") == []


def test_jobs_are_sorted_by_number(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        write_run(tmp_path / f"{number}_x")
    assert names(tmp_path) == ["1_x", "9_x", "10_x"]


def test_run_without_its_config_or_without_its_status_is_found(tmp_path: Path) -> None:
    (write_run(tmp_path / "a") / "experiment.yaml").unlink()
    (write_run(tmp_path / "b") / "status.json").unlink()
    assert names(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("file", ["console.log", "job.json"])
def test_job_that_never_became_a_run_is_found(outputs: Path, file: str) -> None:
    job = outputs / "sweep" / "2_x=3"
    (job / "empty").mkdir(parents=True)
    (job / file).write_text("")
    assert names(outputs / "sweep") == ["0_x=1", "1_x=2", "2_x=3"]
    assert find_runs([outputs]).faults == ()


def test_folders_inside_a_run_are_not_searched(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    write_run(run / "inner")
    assert names(tmp_path) == ["a"]


def test_foreign_files_are_listed_in_one_fault(outputs: Path) -> None:
    (outputs / "notes.txt").write_text("")
    (outputs / "empty").mkdir()
    (outputs / "sweep" / "own.csv").write_text("")
    assert find_runs([outputs]).faults == (f"{outputs}: not part of a run: empty, notes.txt, sweep/own.csv",)


def test_files_of_sweeps_and_of_this_command_are_not_foreign(outputs: Path) -> None:
    for name in ("compare.json", "learning_curves.png", "sweep_summary.csv", "multirun.yaml", "a.log"):
        (outputs / name).write_text("")
    (outputs / "compare_20260101T000000Z").mkdir()
    assert find_runs([outputs]).faults == ()


def test_paths_without_a_run_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    search = find_runs([tmp_path / "file", tmp_path / "missing", tmp_path])
    assert search.roots == ()
    assert [fault.split(": ", 1)[1] for fault in search.faults] == [
        "is a file; name a folder",
        "there is no such folder",
        "holds no run",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_unreadable_folder_does_not_stop_the_search(outputs: Path) -> None:
    (outputs / "sweep").chmod(0)
    search = find_runs([outputs])
    (outputs / "sweep").chmod(0o700)
    assert [root.name for root in search.roots] == ["a", "b"]
    assert any("Permission denied" in fault for fault in search.faults)


def test_path_that_raises_on_lookup_is_a_fault(tmp_path: Path) -> None:
    """A name too long for any file system raises like a path below a forbidden folder."""
    assert find_runs([tmp_path / ("x" * 300)]).faults[0].endswith("there is no such folder")
    assert not is_sweep(tmp_path / ("x" * 300))


def test_sweep_is_recognised_by_its_summary_or_by_hydras_file(outputs: Path) -> None:
    assert is_sweep(outputs / "sweep")
    assert not is_sweep(outputs)
    (outputs / "multirun.yaml").write_text(json.dumps({}))
    assert is_sweep(outputs)
