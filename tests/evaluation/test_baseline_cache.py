"""The cache of the baselines' episodes: they run again only if something that decides them differs."""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

import dreamer_exp
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.evaluation import baseline_cache
from dreamer_exp.evaluation.evaluate import evaluate_baseline
from dreamer_exp.evaluation.rollout import Stopped
from tests.experiments import nano, nano_gym


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder, set by the XDG base directory specification."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dreamer_exp" / "baselines"


def runs_again(experiment: Experiment, name: str = "straight_to_goal") -> bool:
    """Return whether the baseline steps an environment: a request to stop interrupts its first step."""
    try:
        evaluate_baseline(experiment, name, should_stop=lambda: True)
    except Stopped:
        return True
    return False


def test_a_baseline_runs_once_and_is_then_cached() -> None:
    first = evaluate_baseline(nano(), "straight_to_goal")
    assert not runs_again(nano())
    assert evaluate_baseline(nano(), "straight_to_goal") == first


def test_an_interrupted_baseline_is_not_cached() -> None:
    assert runs_again(nano())
    assert runs_again(nano())


@pytest.mark.parametrize("word", ["env.max_steps=19", "env.scenario=dense", "env.reward.progress=3.0",
                                  "evaluation.seed=7", "evaluation.episodes=3"])  # fmt: skip
def test_another_environment_or_other_episodes_run_again(word: str) -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert runs_again(nano(word))


def test_another_baseline_runs() -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert runs_again(nano(), "random")


def test_a_baseline_with_observations_of_its_own_is_cached_whatever_the_policy_observes() -> None:
    first = evaluate_baseline(nano(), "straight_to_goal")
    grid = nano("env=crowd_nav_socnav_grid_32x32", "obs_contract=socnav_grid")
    assert not runs_again(grid)
    assert evaluate_baseline(grid, "straight_to_goal") == first


def test_settings_that_do_not_change_the_episodes_use_the_cache() -> None:
    evaluate_baseline(nano(), "straight_to_goal")
    assert not runs_again(nano("run.seed=7", "algo.horizon_H=5", "obs_contract=drive_state_rays_latest"))


def test_changed_environment_code_changes_the_digest(tmp_path: Path) -> None:
    package = Path(dreamer_exp.__file__).parent
    shutil.copytree(package, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    assert baseline_cache.code_digest(tmp_path / "copy") == baseline_cache.code_digest()
    shutil.copytree(tmp_path / "copy", tmp_path / "changed")
    with (tmp_path / "changed" / "envs" / "crowd_nav" / "scenarios" / "dense.yaml").open("a") as file:
        file.write("# wider\n")
    assert baseline_cache.code_digest(tmp_path / "changed") != baseline_cache.code_digest()


def test_tasks_with_external_code_are_not_cached(cache: Path) -> None:
    evaluate_baseline(nano_gym("CartPole-v1"), "random")
    assert runs_again(nano_gym("CartPole-v1"), "random")
    assert not cache.exists()


@pytest.mark.parametrize("damage", [
    lambda text: text[: len(text) // 2],
    lambda text: "",
    lambda text: "[1, 2]",
    lambda text: text.replace('"outcome": "timeout"', '"outcome": "success"'),
    lambda text: text.replace('"episode_return"', '"episode_reward"'),
    lambda text: text.replace('"straight_to_goal"', '"random"'),
], ids=["cut off", "empty", "another format", "other outcomes", "other fields", "another baseline"])  # fmt: skip
def test_a_damaged_file_is_replaced(cache: Path, damage: Callable[[str], str]) -> None:
    first = evaluate_baseline(nano(), "straight_to_goal")
    (file,) = cache.iterdir()
    intact = file.read_text()
    assert damage(intact) != intact
    file.write_text(damage(intact))
    assert evaluate_baseline(nano(), "straight_to_goal") == first
    assert file.read_text() == intact


def test_without_a_writable_cache_baselines_run_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(evaluate_baseline(nano(), "straight_to_goal")) == 2
    assert runs_again(nano())


def test_cached_episodes_equal_the_original_ones_bit_for_bit() -> None:
    experiment = nano("env.scenario=crossing", "env.max_steps=60")
    original = evaluate_baseline(experiment, "random")
    assert [asdict(result) for result in evaluate_baseline(experiment, "random")] == [
        asdict(result) for result in original
    ]
    assert not runs_again(experiment, "random")
