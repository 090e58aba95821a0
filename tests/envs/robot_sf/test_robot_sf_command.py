"""The command line without the package: presets compose and dry-run; a run is refused with exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamer_exp.envs.robot_sf import package

HIDDEN = "import sys; from dreamer_exp.envs.robot_sf import package; package.folder = lambda: None; "
MAIN = "from dreamer_exp.__main__ import main; main()"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m dreamer_exp` with these words in a process that doesn't find Robot SF."""
    program = HIDDEN + f"sys.argv[1:] = {list(words)!r}; " + MAIN
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_run_without_the_package_is_one_line_with_exit_code_2_and_no_directory(tmp_path: Path) -> None:
    done = command(tmp_path, "experiment=drive_state_rays", "hardware=cpu")

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dreamer_exp: env=robot_sf: the package robot_sf is not installed.")
    assert f"robot_sf_ll7@{package.COMMIT}" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("preset", ["drive_state_rays_br08_gate", "benchmark_socnav_grid_br08_gate"])
def test_dry_run_without_the_package_reports_what_is_unchecked(tmp_path: Path, preset: str) -> None:
    done = command(tmp_path, f"experiment={preset}", "dry_run=true", "hardware=cpu")

    assert done.returncode == 0, done.stderr
    assert "not checked: robot_sf is not installed" in done.stdout


def test_replay_that_cannot_fit_is_refused_without_the_package(tmp_path: Path) -> None:
    words = ("algo.replay_capacity=1000000000", "run.train_iterations=1000000000", "hardware=cpu", "dry_run=true")
    done = command(tmp_path, "experiment=benchmark_socnav_grid_br08_full", *words)

    assert done.returncode == 2
    assert "algo.replay_capacity=1000000000: with 77,088 floats a step, the replay needs" in done.stderr
    assert "steps fit" in done.stderr
