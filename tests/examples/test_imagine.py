"""The example that plots what a policy imagines."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamer_exp import load_policy
from tests.paths import CHECKOUT
from tests.policy.saved import changed, pack_acting_only, save_random

EXAMPLE = str(CHECKOUT / "examples" / "imagine.py")


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(EXAMPLE)


@pytest.mark.parametrize("option", ["drive_state_rays", "drive_state_rays_metric"])
def test_every_step_has_figures(tmp_path: Path, example: dict[str, Any], option: str) -> None:
    save_random(tmp_path, "dreamerv3", f"obs_contract={option}")
    policy = load_policy(tmp_path)
    happened, imagined = example["drive"](policy, 1_000_000)

    assert happened.shape == (40, 4)
    assert imagined.shape == (8, 40, 4)
    assert np.ptp(imagined[0, :, 0]) > 0


def test_figures_are_metres_of_the_newest_frame(example: dict[str, Any]) -> None:
    rays, drive_state = np.full((2, 3, 272), 0.9), np.zeros((2, 3, 5))
    rays[1, 2, 7], drive_state[1, 2, 2] = 0.25, 0.5
    numbers = (np.zeros(2), np.ones(2))

    stacked = example["figures"]({"rays": rays, "drive_state": drive_state}, *numbers)
    latest = example["figures"]({"rays": rays[:, -1], "drive_state": drive_state[:, -1]}, *numbers)
    assert stacked.tolist() == [[9.0, 0.0, 0.0, 1.0], [2.5, 25.0, 0.0, 1.0]]
    assert np.array_equal(latest, stacked)


def test_an_action_is_held_as_in_the_training(tmp_path: Path, example: dict[str, Any]) -> None:
    save_random(tmp_path)
    single, _ = example["drive"](load_policy(tmp_path), 1_000_000)
    tree = json.loads((tmp_path / "policy.json").read_text())["extra"]
    tree["environment"]["action_repeat"] = 2
    held, _ = example["drive"](load_policy(changed(tmp_path, extra=tree)), 1_000_000)

    assert not np.allclose(held[0], single[0])


def test_a_policy_without_heads_is_refused_in_one_line(tmp_path: Path, example: dict[str, Any]) -> None:
    save_random(tmp_path)
    with pytest.raises(SystemExit, match="imagining needs decoder and heads"):
        example["drive"](load_policy(pack_acting_only(tmp_path)), 0)


@pytest.mark.slow
def test_a_picture_is_drawn(tmp_path: Path) -> None:
    save_random(tmp_path)
    command = [sys.executable, EXAMPLE, str(tmp_path), str(tmp_path / "imagined.png")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert "imagined.png: 40 steps" in done.stdout
    assert (tmp_path / "imagined.png").stat().st_size > 10_000
