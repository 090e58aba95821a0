"""The directory of a run that did not begin."""

from pathlib import Path

from dreamer_exp.rundir.new_run import remove_traces


def test_a_refused_run_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    remove_traces(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_directory_with_other_content_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    remove_traces(tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
