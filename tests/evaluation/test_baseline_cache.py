"""Baselines' episodes, kept between runs: what was driven once is not driven again, unless something differs."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

import dreamer_exp
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.evaluation import baseline_cache
from dreamer_exp.evaluation.rollout import Stopped, evaluate_baseline
from tests.experiments import nano, nano_gym


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, where the specification says (XDG base directories)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dreamer_exp" / "baselines"


def drives(experiment: Experiment, name: str = "straight_to_goal") -> bool:
    """Whether the baseline steps an environment: it is told to stop at its first step."""
    try:
        evaluate_baseline(experiment, name, should_stop=lambda: True)
    except Stopped:
        return True
    return False


def test_a_baseline_is_driven_once_and_then_known() -> None:
    first = evaluate_baseline(nano(), "straight_to_goal")
    assert not drives(nano())
    assert evaluate_baseline(nano(), "straight_to_goal") == first


def test_one_that_was_stopped_is_not_kept() -> None:
    assert drives(nano())
    assert drives(nano())


@pytest.mark.parametrize("word", ["env.max_steps=19", "env.scenario=dense", "env.reward.progress=3.0",
                                  "evaluation.seed=7", "evaluation.episodes=3"])  # fmt: skip
def test_another_environment_or_other_episodes_are_driven(word: str) -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert drives(nano(word))


def test_another_baseline_is_driven() -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert drives(nano(), "random")


def test_what_does_not_change_the_episodes_is_no_reason_to_drive() -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert not drives(nano("run.seed=7", "algo.horizon_H=5", "obs_contract=drive_state_rays_latest"))


def test_other_code_of_the_environments_drives_anew(tmp_path: Path) -> None:
    package = Path(dreamer_exp.__file__).parent
    shutil.copytree(package, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    assert baseline_cache.code(tmp_path / "copy") == baseline_cache.code()
    shutil.copytree(tmp_path / "copy", tmp_path / "changed")
    with (tmp_path / "changed" / "envs" / "crowd_nav" / "scenarios" / "dense.yaml").open("a") as file:
        file.write("# wider\n")
    assert baseline_cache.code(tmp_path / "changed") != baseline_cache.code()


def test_tasks_whose_code_is_somebody_elses_are_driven_every_time(cache: Path) -> None:
    evaluate_baseline(nano_gym("CartPole-v1"), "random")
    assert drives(nano_gym("CartPole-v1"), "random")
    assert not cache.exists()


@pytest.mark.parametrize("damage", [
    lambda text: text[: len(text) // 2],
    lambda text: "",
    lambda text: "[1, 2]",
    lambda text: text.replace('"outcome": "timeout"', '"outcome": "success"'),
    lambda text: text.replace('"episode_return"', '"episode_reward"'),
    lambda text: text.replace('"straight_to_goal"', '"random"'),
], ids=["cut off", "empty", "of another form", "other outcomes", "other fields", "of another baseline"])  # fmt: skip
def test_a_file_that_is_not_whole_is_driven_anew_and_mended(cache: Path, damage: Callable[[str], str]) -> None:
    first = evaluate_baseline(nano(), "straight_to_goal")
    (file,) = cache.iterdir()
    whole = file.read_text()
    assert damage(whole) != whole
    file.write_text(damage(whole))
    assert evaluate_baseline(nano(), "straight_to_goal") == first
    assert file.read_text() == whole


def test_without_a_place_to_write_baselines_are_driven_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(evaluate_baseline(nano(), "straight_to_goal")) == 2
    assert drives(nano())


def test_what_is_kept_equals_what_was_driven_bit_for_bit() -> None:
    asked = nano("env.scenario=crossing", "env.max_steps=60")
    driven = evaluate_baseline(asked, "random")
    assert [asdict(result) for result in evaluate_baseline(asked, "random")] == [asdict(result) for result in driven]
    assert not drives(asked, "random")
