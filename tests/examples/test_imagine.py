"""The example that plots what a policy imagines."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import CHECKOUT
from tests.policy.saved import save_random


@pytest.mark.slow
def test_a_picture_is_drawn(tmp_path: Path) -> None:
    save_random(tmp_path)
    command = [sys.executable, str(CHECKOUT / "examples" / "imagine.py"), str(tmp_path), str(tmp_path / "imagined.png")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "imagined.png").stat().st_size > 10_000
