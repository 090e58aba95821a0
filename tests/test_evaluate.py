"""Recomposing a run's experiment for its evaluation."""

from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import CrowdNavConfig, RobotSFConfig
from dreamer_exp.envs.make import contract_of
from dreamer_exp.evaluate import check_contract, recompose
from dreamer_exp.runs.checkpoints import resolve


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A quickstart's directory, as far as recomposing reads it; its preset sets env.scenario, which Robot SF lacks."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- experiment=quickstart\n- env.lidar_noise=false\n")
    return tmp_path


def test_the_runs_own_words_hold(run: Path) -> None:
    experiment = recompose(run, [])
    assert isinstance(experiment.env, CrowdNavConfig)
    assert (experiment.env.scenario, experiment.env.lidar_noise) == ("open", False)


def test_words_given_here_win(run: Path) -> None:
    experiment = recompose(run, ["env.scenario=dense", "evaluation.episodes=7"])
    assert isinstance(experiment.env, CrowdNavConfig)
    assert (experiment.env.scenario, experiment.env.lidar_noise, experiment.evaluation.episodes) == ("dense", False, 7)


def test_what_the_run_asked_of_its_machine_is_not_asked_of_this_one(run: Path) -> None:
    words = ["hardware=cuda", "hardware.num_cpus=65", "hardware.num_env_runners=64", "algo.kernels=graph"]
    assert recompose(run, words).algo.kernels == "graph"


def test_another_environment_takes_the_contract_and_none_of_the_old_ones_keys(run: Path) -> None:
    experiment = recompose(run, ["env=robot_sf", "env.max_steps=300", "evaluation.episodes=7"])
    assert isinstance(experiment.env, RobotSFConfig)
    assert (experiment.env.max_steps, experiment.evaluation.episodes) == (300, 7)
    own = recompose(run, [])
    check_contract(experiment, contract_of(own.env, own.obs_contract).hash)


def test_a_directory_without_the_runs_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.hydra/overrides\.yaml"):
        recompose(tmp_path, [])


@pytest.mark.parametrize("manifest", ['{"fi', "{}"])
def test_a_manifest_that_was_cut_off_is_refused_by_name(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=r"manifest\.json: not a whole manifest"):
        resolve(tmp_path)
