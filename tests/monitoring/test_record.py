"""Records of a run: failed writes are retried, and three in a row end the run."""

from pathlib import Path

import pytest

from dreamer_exp.monitoring.counters import Counters
from dreamer_exp.monitoring.record import Attempts, DiskFailed, Record
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows, read_tree
from tests.experiments import nano


def refuse() -> None:
    raise OSError(28, "No space left on device")


def test_a_failed_write_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert not Attempts("a checkpoint")(refuse)
    assert "a checkpoint could not be written ([Errno 28] No space left on device)" in caplog.text


def test_the_third_failed_write_in_a_row_raises() -> None:
    attempts = Attempts("a checkpoint")
    attempts(refuse)
    attempts(refuse)
    with pytest.raises(DiskFailed, match="a checkpoint could not be written 3 times in a row"):
        attempts(refuse)


def test_a_successful_write_resets_the_count() -> None:
    attempts = Attempts("a checkpoint")
    for _ in range(3):
        attempts(refuse)
        attempts(refuse)
        assert attempts(lambda: None)


def test_a_row_that_could_not_be_written_is_written_with_the_next(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    tmp_path.joinpath("run").write_text("a file where the directory should be")
    record = Record(directory, nano(), Counters(), "2026-01-01T00:00:00+00:00")
    record.row({"env_steps": 1})
    directory.root.unlink()
    directory.root.mkdir()
    record.row({"env_steps": 2})
    assert read_rows(directory.result) == [{"env_steps": 1}, {"env_steps": 2}]


def test_status_json_has_what_a_running_run_does(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    record = Record(directory, nano(), Counters(), "2026-01-01T00:00:00+00:00")
    record.running()
    assert read_tree(directory.status)["activity"] == "starting"
    record.enter("training")
    assert read_tree(directory.status)["activity"] == "training"
    assert record.status("finished")["activity"] is None


def ended(tmp_path: Path, rows: int) -> RunDirectory:
    """Return the directory of a run that failed after some rows."""
    directory = RunDirectory(tmp_path)
    record = Record(directory, nano(), Counters(), "2026-01-01T00:00:00+00:00")
    for iteration in range(1, rows + 1):
        record.row({"env_steps": iteration, "iteration": iteration})
    record.end("failed", ValueError("of the environment"))
    return directory


def test_a_run_that_failed_after_some_rows_has_a_page(tmp_path: Path) -> None:
    assert "ValueError: of the environment" in ended(tmp_path, rows=2).page.read_text(encoding="utf-8")


def test_a_run_without_rows_has_no_page(tmp_path: Path) -> None:
    assert not ended(tmp_path, rows=0).page.exists()


def test_a_page_that_fails_does_not_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(page: object) -> str:
        raise TypeError("of the page")

    monkeypatch.setattr("dreamer_exp.report.page.render_page", fail)
    directory = ended(tmp_path, rows=2)

    assert read_tree(directory.status)["state"] == "failed"
    assert "report/index.html could not be written: TypeError: of the page" in caplog.text
