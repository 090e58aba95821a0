"""Protocols: named lists of episodes, from our files and from a user's own."""

import re
from pathlib import Path

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.seeds import is_reserved
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline
from dreamer_exp.planning.protocol import evaluated, protocol_names, read_protocol
from dreamer_exp.planning.resolve import resolve
from tests.experiments import experiment, machine, nano

MINE = "name: mine\nenv: {name: crowd_nav, max_steps: 30}\nseeds: 900001..900003\nscenarios: [open, dense]\n"


def written(folder: Path, text: str) -> str:
    """Write a protocol of a user and return its path."""
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_there_are_protocols_for_fixed_seeds_and_for_robot_sf() -> None:
    assert protocol_names() == ["fixed_seeds", "robot_sf_dev", "robot_sf_s30_h600", "robot_sf_smoke"]


@pytest.mark.parametrize(("name", "seeds"), [("robot_sf_s30_h600", range(111, 141)), ("robot_sf_dev", range(101, 104))])
def test_robot_sf_is_driven_on_48_scenarios_with_all_seeds_at_horizon_600(name: str, seeds: range) -> None:
    protocol = read_protocol(name)
    assert protocol.name == name
    assert protocol.episodes is not None
    scenarios = [scenario for _, scenario in protocol.episodes[:48]]
    assert len(set(scenarios)) == 48
    assert protocol.episodes == tuple((seed, scenario) for seed in seeds for scenario in scenarios)
    assert (protocol.env["max_steps"], protocol.env["dt"]) == (600, 0.1)


def test_training_uses_no_seed_of_a_protocol() -> None:
    listed = [read_protocol(name).episodes or () for name in protocol_names()]
    assert all(is_reserved(seed) for episodes in listed for seed, _ in episodes)


def test_fixed_seeds_follow_the_settings_of_the_evaluation() -> None:
    settings = nano("evaluation.protocol=fixed_seeds", "evaluation.episodes=2", "evaluation.seed=900001")
    assert episode_list(settings).episodes == (EvaluationEpisode(900001), EvaluationEpisode(900002))


def test_a_protocol_has_all_of_its_episodes_with_any_number_of_episodes(tmp_path: Path) -> None:
    settings = nano(f"evaluation.protocol={written(tmp_path, MINE)}", "evaluation.episodes=2")
    driven = episode_list(settings)
    assert [(episode.seed, episode.scenario) for episode in driven.episodes] == [
        (seed, scenario) for seed in (900001, 900002, 900003) for scenario in ("open", "dense")
    ]
    assert driven.choice == "all of protocol mine"


def test_a_protocol_sets_the_environment_of_its_evaluation_alone(tmp_path: Path) -> None:
    settings = nano(f"evaluation.protocol={written(tmp_path, MINE)}", "env.max_steps=400")
    assert (evaluated(settings).env.max_steps, settings.env.max_steps) == (30, 400)


def test_a_protocol_replaces_the_scenarios_of_a_run() -> None:
    settings = experiment(
        "env=robot_sf",
        "evaluation.protocol=robot_sf_dev",
        "env.scenario_matrix.path=m.yaml",
        "env.scenario_matrix.include=[a]",
        "+env.scenario_matrix.weights.a=2",
    )
    matrix = evaluated(settings).env.scenario_matrix  # type: ignore[attr-defined]
    assert matrix.path == "configs/scenarios/classic_interactions_francis2023.yaml"
    assert (matrix.include, matrix.weights) == ([], {})


def test_a_baseline_drives_the_scenarios_of_a_protocol(tmp_path: Path) -> None:
    settings = evaluated(nano(f"evaluation.protocol={written(tmp_path, MINE)}"))
    results = evaluate_baseline(settings, "straight_to_goal")
    assert [result.scenario for result in results] == ["open", "dense"] * 3
    assert max(result.length for result in results) <= 30


def test_crowd_nav_takes_the_scenario_of_a_reset() -> None:
    env = CrowdNavEnv(scenario="mixed")
    for seed in range(5):
        env.reset(seed=seed, options={"scenario": "doorway"})
        assert env.layout.scenario == "doorway"
    with pytest.raises(UserError, match="no such scenario family"):
        env.reset(seed=1, options={"scenario": "door"})


def test_a_user_lists_episodes_one_by_one(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\nepisodes: [{seed: 900001, scenario: open}, {seed: 900007}]\n")
    assert read_protocol(path).episodes == ((900001, "open"), (900007, None))


def test_a_list_of_one_episode_may_be_that_episode(tmp_path: Path) -> None:
    assert read_protocol(written(tmp_path, "name: mine\nepisodes: {seed: 900001}\n")).episodes == ((900001, None),)


def test_a_protocol_of_another_environment_is_refused() -> None:
    with pytest.raises(UserError, match="robot_sf_dev is for env=robot_sf, not for env=crowd_nav"):
        evaluated(nano("evaluation.protocol=robot_sf_dev"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: mine\nseeds: [7]\n", "training may use seed 7; it never uses 101 to 103"),
        ("name: mine\nseeds: [900001, 900001]\n", "seed 900001 occurs twice"),
        ("name: mine\nseeds: []\n", "lists no episodes"),
        ("name: mine\nseeds: 900001\n", "seeds=900001 has to be whole numbers"),
        ("name: mine\nseeds: [true]\n", r"seeds=\[True\] has to be whole numbers"),
        ("name: mine\nseeds: 0..9999999999\n", "are more than 10,000"),
        ("name: mine\nseeds: [900001]\nscenarios: open\n", "has to be a list of names"),
        ("name: mine\nseed: [900001]\n", "seed is not a key of a protocol. Did you mean 'seeds'"),
        ("name: mine\nepisodes: [900001]\n", "has to be {seed: 900001, scenario: door}"),
        ("name: mine\nepisodes: 900001\n", "has to be {seed: 900001, scenario: door}"),
        ("name: mine\nepisodes: [{seed: 900001, scenaro: open}]\n", "has to be {seed: 900001, scenario: door}"),
        ("name: mine\nepisodes: []\nseeds: [900001]\n", "not both"),
        ("seeds: [900001]\n", "name is missing"),
        ("- 1\n", "holds no settings"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as refused:
        read_protocol(written(tmp_path, text))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [("robot_sf_def", "is not one of: fixed_seeds, .* Did you mean 'robot_sf_dev'"), ("./none.yaml", "no such file")],
)
def test_an_unknown_protocol_is_refused_with_the_known_ones(name: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        read_protocol(name)


def test_a_setting_that_the_environment_lacks_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\nenv: {max_step: 3}\nseeds: [900001]\n")
    with pytest.raises(UserError, match=r"env\.max_step: there is no such key. Did you mean 'max_steps'"):
        evaluated(nano(f"evaluation.protocol={path}"))


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("max_steps: '${oc.env:HOME}'", "env.max_steps='${oc.env:HOME}' has another type than"),
        ("max_steps: -5", "env.max_steps=-5 is out of range"),
        ("scenario: {a: 1}", "env.scenario={'a': 1} has another type than"),
        ("scenario: opne", "env.scenario='opne': no such scenario"),
        ("reward: 3", "env.reward=3 has to be settings"),
        ("scenario_weights: {open: x}", "env.scenario_weights={'open': 'x'} has another type"),
    ],
)
def test_a_wrong_value_of_a_setting_is_refused_before_a_run_starts(tmp_path: Path, setting: str, line: str) -> None:
    path = written(tmp_path, f"name: mine\nenv: {{{setting}}}\nseeds: [900001]\n")
    with pytest.raises(UserError, match=rf"^evaluation\.protocol=mine: {re.escape(line)}"):
        resolve(nano(f"evaluation.protocol={path}"), machine())


def test_an_unknown_scenario_is_refused_before_a_run_starts(tmp_path: Path) -> None:
    path = written(tmp_path, MINE.replace("dense", "desne"))
    line = r"^evaluation\.protocol=mine: 'desne' is not a scenario of the environment. Did you mean 'dense'"
    with pytest.raises(UserError, match=line):
        resolve(nano(f"evaluation.protocol={path}"), machine())


def test_a_file_that_changes_during_a_run_changes_no_evaluation(tmp_path: Path) -> None:
    path = written(tmp_path, MINE)
    before = read_protocol(path)
    written(tmp_path, MINE.replace("900003", "900001"))
    assert read_protocol(path) == before


def test_fixed_seeds_take_no_list(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seeds: fixed_seeds has no list of episodes"):
        read_protocol(written(tmp_path, MINE.replace("mine", "fixed_seeds")))


def test_an_unknown_protocol_is_refused_before_a_run_starts() -> None:
    with pytest.raises(UserError, match=r"^evaluation\.protocol='typo' is not one of: "):
        resolve(nano("evaluation.protocol=typo"), machine())


def test_a_run_without_evaluations_can_be_evaluated_on_a_protocol(tmp_path: Path) -> None:
    settings = nano("evaluation.episodes=0", f"evaluation.protocol={written(tmp_path, MINE)}")
    assert len(episode_list(settings).episodes) == 6
