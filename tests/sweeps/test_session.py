"""The end of a sweep."""

import os
from pathlib import Path

import pytest

from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.sweeps.records import JobRecord, read_job
from dreamer_exp.sweeps.session import UNWATCHED, end_unwatched, ended_views
from dreamer_exp.sweeps.view import read_views


@pytest.mark.parametrize("disk_is_full", [False, True])
def test_a_job_whose_end_was_not_recorded_is_shown_as_failed(tmp_path: Path, disk_is_full: bool) -> None:
    root = tmp_path / "0_seed=1"
    root.mkdir()
    JobRecord(0, "run.seed=1", "running").write(root)
    write_json(root / "status.json", {"state": "running", "activity": "training", "updated_utc": "2026-01-01"})
    if disk_is_full:
        (root / f".job.json.{os.getpid()}.tmp").mkdir()  # in the way of an atomic write

    end_unwatched(tmp_path, "failed")

    (view,) = ended_views(read_views(tmp_path, ["run.seed=1"], [10]), "failed")
    assert (view.shown, view.error) == ("failed", UNWATCHED)
    job = read_job(root)
    assert job is not None
    assert job.state == ("running" if disk_is_full else "failed")
