"""`sweep=algorithms`: DreamerV3, PPO and SAC side by side, and their comparison."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.experiments import NANO, ONE_THREAD, SMALL
from tests.sweeps.sweeping import only_sweep, run, states

pytestmark = [pytest.mark.end_to_end, pytest.mark.slow]

SHARED = (
    "env.scenario=open", "env.max_steps=20", "hardware=cpu", ONE_THREAD, "hardware.num_env_runners=0", "tracking=none",
    "evaluation.episodes=2", "evaluation.baselines=[]", "evaluation.every_env_steps=32", "run.seed=1",
    "run.train_iterations=6",
)  # fmt: skip
NAMES = ("dreamerv3", "ppo", "sac")


def write_presets(folder: Path) -> str:
    """Write a small preset for each algorithm, in the place of the sweep's, and return the word that selects them."""
    words = {"dreamerv3": NANO, **{name: SMALL[name] for name in ("ppo", "sac")}}
    (folder / "experiment").mkdir(parents=True)
    for name in NAMES:
        keys = "".join(
            f"  {w.replace('algo.', '', 1).replace('=', ': ')}\n" for w in words[name] if w.startswith("algo.")
        )
        text = f"# @package _global_\ndefaults:\n  - override /algo: {name}\nalgo:\n{keys}"
        (folder / "experiment" / f"small_{name}.yaml").write_text(text)
    return f"experiment={','.join(f'small_{name}' for name in NAMES)}"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Return the sweep, and how it ended."""
    folder = tmp_path_factory.mktemp("algorithms")
    ended = run(folder, "-m", "--config-dir=own", "sweep=algorithms", write_presets(folder / "own"), *SHARED)
    return only_sweep(folder), ended


@pytest.fixture(scope="module")
def compared(swept: Any) -> dict[str, Any]:
    """Return compare.json of the sweep."""
    sweep, _ = swept
    code, out, err = run(sweep.parent, "compare", str(sweep), "--by", "algo.name", "--out", str(sweep.parent / "out"))
    assert code == 0, out + err
    tree: dict[str, Any] = json.loads((sweep.parent / "out" / "compare.json").read_text())
    return tree


def test_every_algorithm_finishes(swept: Any) -> None:
    sweep, (code, out, err) = swept
    assert code == 0, out + err
    assert states(sweep) == {0: "finished", 1: "finished", 2: "finished"}


def test_each_algorithm_is_a_group_with_a_value(compared: Any) -> None:
    assert [(tree["label"], tree["counted"]) for tree in compared["groups"]] == [(name, 1) for name in NAMES]


def test_the_algorithms_are_compared_at_equal_cost(compared: Any) -> None:
    steps, wall = compared["equal_cost"]
    assert (steps["at"], steps["value"]) == ("env_steps", 96.0)
    assert {tree["label"] for tree in steps["groups"]} == set(NAMES)
    assert {tree["label"] for tree in (*wall["groups"], *wall["without"])} == set(NAMES)


def test_a_key_of_one_algorithm_is_no_caution(compared: Any) -> None:
    assert not [line for line in compared["findings"] if "algo.backend" in line]
