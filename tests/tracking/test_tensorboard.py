"""TensorBoard's event files, read back."""

from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.tracking.tensorboard import TensorBoardTracker
from dreamer_exp.tracking.tracker import make_tracker
from tests.experiments import nano
from tests.tracking.events import read_events, read_scalars


def test_numbers_are_scalars_under_their_names_at_env_steps(tmp_path: Path) -> None:
    tracker = make_tracker(nano("tracking=tensorboard"), tmp_path)
    tracker.log({"loss/world_model": 0.5, "updates": 3, "success_rate_window": None, "policy": "hl"}, 16)
    tracker.log({"evaluation/dreamerv3/success_rate": 1.0}, 16)
    tracker.finish({"state": "finished"}, failed=False)
    assert read_scalars(tmp_path / "tensorboard") == {
        "loss/world_model": [(16, 0.5)],
        "updates": [(16, 3.0)],
        "evaluation/dreamerv3/success_rate": [(16, 1.0)],
    }
    (file,) = (tmp_path / "tensorboard").iterdir()
    (text,) = [value for event in read_events(file) for value in event.summary.value if "experiment" in value.tag]
    assert b"fingerprint: " in text.tensor.string_val[0]


def test_a_resume_continues_the_curves_and_drops_the_repeated_steps(tmp_path: Path) -> None:
    experiment = nano("tracking=tensorboard")
    for start, steps in ((0, (16, 32, 48)), (32, (48, 64))):
        tracker = make_tracker(experiment, tmp_path, start)
        for env_steps in steps:
            tracker.log({"updates": start + env_steps}, env_steps)
        tracker.finish({}, failed=False)
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    assert read_scalars(tmp_path / "tensorboard")["updates"] == [(16, 16), (32, 32), (48, 80), (64, 96)]


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        TensorBoardTracker(nano(), tmp_path, 0)
