"""The command line of `evaluate`, and recomposing a run's experiment for it."""

from pathlib import Path

import pytest

from dreamer_exp.checkpoints.store import resolve
from dreamer_exp.cli.evaluate import Asked, check_contract, read_words, recompose, refuse_nothing_to_do, writable
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from tests.experiments import experiment


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A quickstart's directory, as far as recomposing reads it; its preset sets env.scenario, which Robot SF lacks."""
    composed = experiment("experiment=quickstart", "env.lidar_noise=false")
    (tmp_path / "experiment.yaml").write_text(composed.to_yaml())
    return tmp_path


def test_words_of_its_own_are_told_from_the_runs_keys() -> None:
    asked = read_words(["outputs/run", "episodes=7", "video=3", "out=/elsewhere", "env=robot_sf"])
    assert asked == Asked(Path("outputs/run"), ["evaluation.episodes=7", "env=robot_sf"], 3, Path("/elsewhere"))


def test_without_words_nothing_is_filmed_and_files_go_into_the_run() -> None:
    assert read_words(["outputs/run"]) == Asked(Path("outputs/run"), [], video=0, out=None)


@pytest.mark.parametrize("word", ["video=some", "video=-1", "video=1.5", "video="])
def test_video_takes_a_whole_number(word: str) -> None:
    with pytest.raises(UserError, match=f"^{word}: it takes a whole number"):
        read_words(["outputs/run", word])


def test_a_command_line_without_a_run_is_refused() -> None:
    with pytest.raises(UserError, match="name the run first"):
        read_words(["episodes=7"])


def test_a_folder_to_write_in_is_made(tmp_path: Path) -> None:
    assert writable(tmp_path / "new" / "report").is_dir()
    assert list((tmp_path / "new" / "report").iterdir()) == []


def test_a_run_that_cannot_be_written_in_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, in which no user may make a folder")
    with pytest.raises(UserError, match=r"run/report cannot be written .*out=DIR"):
        writable(tmp_path / "run" / "report")


def test_a_run_that_was_never_evaluated_is_asked_for_episodes(run: Path) -> None:
    with pytest.raises(UserError, match="episodes=100"):
        refuse_nothing_to_do(recompose(run, ["evaluation=none"]))
    refuse_nothing_to_do(recompose(run, ["evaluation=none", "evaluation.episodes=1"]))


def test_the_runs_own_words_hold(run: Path) -> None:
    found = recompose(run, [])
    assert isinstance(found.env, CrowdNavConfig)
    assert (found.env.scenario, found.env.lidar_noise) == ("open", False)


def test_words_given_here_win(run: Path) -> None:
    found = recompose(run, ["env.scenario=dense", "evaluation.episodes=7"])
    assert isinstance(found.env, CrowdNavConfig)
    assert (found.env.scenario, found.env.lidar_noise, found.evaluation.episodes) == ("dense", False, 7)


def test_what_the_run_asked_of_its_machine_is_not_asked_of_this_one(run: Path) -> None:
    words = ["hardware=cuda", "hardware.num_cpus=65", "hardware.num_env_runners=64", "algo.kernels=graph"]
    assert recompose(run, words).algo.kernels == "graph"


def test_another_environment_takes_the_contract_and_none_of_the_old_ones_keys(run: Path) -> None:
    found = recompose(run, ["env=robot_sf", "env.max_steps=300", "evaluation.episodes=7"])
    assert isinstance(found.env, RobotSFConfig)
    assert (found.env.max_steps, found.evaluation.episodes) == (300, 7)
    own = recompose(run, [])
    check_contract(found, contract_of(own.env, own.obs_contract).hash)


def test_a_directory_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"experiment\.yaml cannot be read"):
        recompose(tmp_path, [])


@pytest.mark.parametrize("manifest", ['{"fi', "{}"])
def test_a_manifest_that_was_cut_off_is_refused_by_name(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=r"manifest\.json: .*not a whole manifest"):
        resolve(tmp_path)
