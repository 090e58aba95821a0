"""The command benchmark: its words, and one line for each thing that cannot work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamer_exp.benchmark.arm import baseline_arms
from dreamer_exp.cli.benchmark import BenchmarkRequest, default_folder, read_words
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package, planners


def test_by_default_it_is_the_canonical_surface() -> None:
    assert read_words(["outputs/run"]) == BenchmarkRequest(Path("outputs/run"), "robot_sf_s30_h600")


def test_words_are_read() -> None:
    words = ["run", "protocol=robot_sf_dev", "workers=3", "baseline=goal,orca", "out=/elsewhere", "action_repeat=2"]
    expected = BenchmarkRequest(Path("run"), "robot_sf_dev", 3, ("goal", "orca"), Path("/elsewhere"), 2)
    assert read_words(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["protocol=robot_sf_dev"], "name the run first"),
        (["run", "protocl=x"], "protocl=x: benchmark takes protocol=.* Did you mean 'protocol'"),
        (["run", "video=1"], "video=1: benchmark takes"),
        (["run", "out="], "out=: benchmark takes"),
        (["run", "workers=0"], "workers=0: it takes 1 or more"),
        (["run", "workers=many"], "workers=many: it takes a whole number of processes, or auto"),
        (["run", "action_repeat=0"], "action_repeat=0: it takes 1 or more"),
    ],
)
def test_wrong_words_are_refused_in_a_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_words(words)


def test_unknown_and_impossible_baselines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"baseline=goel is not one of: goal, orca\. Did you mean 'goal'"):
        baseline_arms(["goel"])
    monkeypatch.setattr(planners, "find_spec", lambda name: None)
    monkeypatch.setattr(package, "folder", Path)
    with pytest.raises(UserError, match=r"baseline=orca needs the package rvo2"):
        baseline_arms(["goal", "orca"])
    assert [arm.name for arm in baseline_arms(["goal", "goal"])] == ["goal"]


def test_rows_of_a_policy_without_a_run_go_into_outputs() -> None:
    assert default_folder(None, Path("/x/B2"), "robot_sf_dev") == Path("outputs/benchmark_robot_sf_dev_B2")
    assert default_folder(Path("/r"), Path("/r"), "my/own") == Path("/r/report/benchmark_my_own")


def test_without_robot_sf_the_command_ends_in_one_line(tmp_path: Path) -> None:
    paths = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if not (Path(path) / "robot_sf").is_dir()
    ]
    done = subprocess.run(
        [sys.executable, "-m", "dreamer_exp.benchmark", str(tmp_path)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    if "is not installed" not in done.stderr and package.folder() is not None:
        pytest.skip("robot_sf is installed, not on PYTHONPATH")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dreamer_exp: benchmark: the package robot_sf is not installed. To install it: pip install")
