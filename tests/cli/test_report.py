"""`dreamer-exp report`: pages of runs, and what is no run."""

from pathlib import Path

import pytest

from dreamer_exp.cli.report import run
from dreamer_exp.config.errors import UserError
from tests.compare.folders import write_run


def test_the_page_of_each_run_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name) for name in ("a", "b")]

    assert run([str(root) for root in runs]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{root}/report/index.html" for root in runs]
    assert all((root / "report" / "index.html").is_file() for root in runs)


def test_a_folder_that_is_no_run_is_refused_before_any_page_is_written(tmp_path: Path) -> None:
    root = write_run(tmp_path / "a")

    with pytest.raises(UserError, match="is not a run's directory"):
        run([str(root), str(tmp_path)])
    assert not (root / "report").exists()


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    root = write_run(tmp_path / "a")
    (root / "report").write_text("a file")

    with pytest.raises(UserError, match="the page cannot be written"):
        run([str(root)])
