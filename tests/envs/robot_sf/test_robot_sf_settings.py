"""Checks of Robot SF's options without the package: rewards, reserved names, and the install message."""

from typing import Any

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import require, spaces_of, unchecked
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.reward import WEIGHTS
from dreamer_exp.envs.spec import spec_of
from tests.experiments import experiment


@pytest.fixture
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)
    monkeypatch.setattr(package, "load", package.load.__wrapped__)  # without the cache of earlier tests


@pytest.mark.usefixtures("without_the_package")
def test_run_is_refused_in_one_line_with_the_install_commands() -> None:
    with pytest.raises(UserError) as refusal:
        require(RobotSFConfig())

    line = str(refusal.value)
    assert "\n" not in line
    assert 'pip install "dreamer-exp[robot-sf]"' in line
    assert f'pip install --no-deps "robot_sf @ git+https://github.com/ll7/robot_sf_ll7@{package.COMMIT}"' in line


@pytest.mark.usefixtures("without_the_package")
def test_unchecked_options_are_reported_in_one_line() -> None:
    line = unchecked(RobotSFConfig(scenario_matrix=ScenarioMatrixConfig(path="some/matrix.yaml")))

    assert line is not None
    assert "\n" not in line
    assert "env.scenario_matrix.path=some/matrix.yaml are not checked" in line


def test_crowd_nav_leaves_nothing_unchecked() -> None:
    assert unchecked(experiment("env=crowd_nav").env) is None


@pytest.mark.parametrize("name", [name for name, terms in WEIGHTS.items() if terms])
@pytest.mark.usefixtures("without_the_package")
def test_unknown_weight_of_a_reward_is_refused_with_the_nearest_name(name: str) -> None:
    term = WEIGHTS[name][-1]
    with pytest.raises(UserError, match=rf"env\.reward_weights\.{term}x: .*{name} .*Did you mean '{term}'\?"):
        spaces_of(RobotSFConfig(reward_name=name, reward_weights={f"{term}x": 1.0}))


@pytest.mark.usefixtures("without_the_package")
def test_weight_of_a_reward_without_weights_is_refused_with_the_key_to_set() -> None:
    with pytest.raises(UserError, match=r"no such weight\. Set env\.factory_kwargs\.reward_kwargs instead\."):
        spaces_of(RobotSFConfig(reward_name="simple", reward_weights={"progress": 1.0}))


@pytest.mark.usefixtures("without_the_package")
def test_snqi_takes_all_of_its_weights_or_none() -> None:
    with pytest.raises(UserError, match="missing: w_success, w_time"):
        spaces_of(RobotSFConfig(reward_name="snqi_step", reward_weights={"w_jerk": 1.0}))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"seed": 1}, "env.factory_kwargs.seed: set run.seed instead."),
        ({"reward_name": "simple"}, "env.factory_kwargs.reward_name: set env.reward_name instead."),
        (
            {"reward_kwargs": {"weights": {}}},
            "env.factory_kwargs.reward_kwargs.weights: set env.reward_weights instead.",
        ),
    ],
)
@pytest.mark.usefixtures("without_the_package")
def test_argument_that_another_key_sets_is_refused_with_that_key(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as refusal:
        spaces_of(RobotSFConfig(factory_kwargs=given))

    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ({"weights": {"a": -1.0}}, "a weight is a finite number, 0 or more"),
        ({"weights": {"a": float("nan")}}, "a weight is a finite number, 0 or more"),
        ({"weights": {"a": 1.0}, "strategy": "cycle"}, "no effect under env.scenario_matrix.strategy=cycle"),
    ],
)
@pytest.mark.usefixtures("without_the_package")
def test_invalid_or_unused_weights_are_refused(matrix: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        spaces_of(RobotSFConfig(scenario_matrix=ScenarioMatrixConfig(path="m.yaml", **matrix)))


@pytest.mark.parametrize("key", ["lidar_config", "robot_config", "sensors", "use_image_obs"])
@pytest.mark.usefixtures("without_the_package")
def test_section_with_an_unknown_effect_on_the_spaces_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=rf"env\.config\.{key}: the observation under it is known only to the package"):
        spaces_of(RobotSFConfig(config={key: {"anything": 1}}))


@pytest.mark.parametrize("env", ["crowd_nav", "robot_sf"])
def test_there_is_no_list_of_scenarios_without_a_matrix(env: str) -> None:
    config = experiment(f"env={env}").env

    assert spec_of(config).scenarios(config) is None
