"""The choice of a tracker."""

import subprocess
import sys
from pathlib import Path

from dreamer_exp.tracking.tracker import Trackers, make_tracker
from tests.experiments import nano


def test_no_tracker_writes_nothing(tmp_path: Path) -> None:
    tracker = make_tracker(nano("tracking=none"), tmp_path)
    tracker.log({"loss/world_model": 0.5}, 16)
    tracker.finish({"state": "finished"}, failed=False)
    assert isinstance(tracker, Trackers)
    assert tracker.trackers == ()
    assert list(tmp_path.iterdir()) == []


def test_wandb_is_imported_only_if_it_is_used() -> None:
    code = "import sys, dreamer_exp.tracking.tracker; sys.exit('wandb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
