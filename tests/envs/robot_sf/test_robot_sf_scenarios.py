"""The scenario matrix with the real package: names, choice, order, and scenarios that don't fit together."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from robot_sf_episodes import CLASSIC, EMPTY, SANITY, SCENARIOS, drive, matrix, random_actions

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.robot_sf.env import RobotSFEnv
from dreamer_exp.envs.scenario_sampling import ScenarioSampling, drawn_scenarios
from dreamer_exp.evaluation.evaluate import evaluate_baseline
from tests.experiments import experiment

pytestmark = pytest.mark.robot_sf


def make(path: str = CLASSIC, *include: str, **keys: Any) -> RobotSFEnv:
    return RobotSFEnv(RobotSFConfig(max_steps=1, scenario_matrix=matrix(path, *(include or SCENARIOS), **keys)))


def scenario_names(env: RobotSFEnv, resets: int, seed: int | None = 0) -> list[str]:
    """Return the scenarios of `resets` episodes of one step; only the first reset has a seed."""
    seeds = [seed, *[None] * (resets - 1)]
    return [drive(env, each, random_actions(0)).infos[-1]["scenario"] for each in seeds]


def test_cycle_repeats_the_order_of_the_file() -> None:
    env = make(strategy="cycle")

    assert scenario_names(env, 8) == [env.scenarios[n % 6] for n in range(8)]


def test_seed_in_the_final_info_repeats_the_scenario_under_cycle() -> None:
    env = make(strategy="cycle")
    env.reset(seed=0)
    info = drive(env, None, random_actions(0)).infos[-1]

    assert drive(env, info["seed"], random_actions(0)).infos[-1] == info


def test_random_strategy_draws_by_weight() -> None:
    env = make(weights={SCENARIOS[0]: 3.0, SCENARIOS[1]: 1.0})
    counted = Counter(drive(env, seed, random_actions(0)).infos[-1]["scenario"] for seed in range(40))

    assert set(counted) == {SCENARIOS[0], SCENARIOS[1]}
    assert 22 <= counted[SCENARIOS[0]] <= 38


def test_training_by_failures_draws_the_scenarios_of_the_matrix_by_changed_weights() -> None:
    first, second = SCENARIOS[:2]
    chosen = matrix(CLASSIC, first, second, weights={first: 3.0, second: 1.0})
    config = RobotSFConfig(failure_floor=0.1, scenario_matrix=chosen)
    weights = drawn_scenarios(config)
    env = ScenarioSampling(RobotSFEnv(config), weights)

    env.set_scenario_weights({first: 0.0, second: 1.0})
    env.reset(seed=0)

    assert weights == {first: 3.0, second: 1.0}
    assert env.get_wrapper_attr("_scenario_name") == second


def test_excluded_scenario_is_left_out() -> None:
    assert SCENARIOS[2] not in make(exclude=[SCENARIOS[2]]).scenarios


def test_scenario_stays_without_switching_until_a_reset_has_a_seed() -> None:
    assert len(set(scenario_names(make(switch_per_reset=False), 5))) == 1


def test_reset_takes_a_scenario_by_name_or_by_number_modulo_their_count() -> None:
    env = make()
    by_number = [drive(env, 0, random_actions(0), scenario=n).infos[-1]["scenario"] for n in (0, 5, 6, 13)]

    assert by_number == [env.scenarios[n] for n in (0, 5, 0, 1)]
    assert drive(env, 0, random_actions(0), scenario=SCENARIOS[3]).infos[-1]["scenario"] == SCENARIOS[3]


def test_reset_to_an_unknown_scenario_is_refused() -> None:
    with pytest.raises(UserError, match="no scenario 'nowhere'"):
        make().reset(seed=0, options={"scenario": "nowhere"})


@pytest.mark.parametrize("key", ["include", "exclude", "weights"])
def test_unknown_name_is_refused_with_the_nearest(key: str) -> None:
    value: Any = {"clasic_doorway_low": 1.0} if key == "weights" else ["clasic_doorway_low"]

    with pytest.raises(UserError, match=rf"scenario_matrix\.{key}: 'clasic_doorway_low' .*'classic_doorway_low'\?"):
        RobotSFEnv(RobotSFConfig(scenario_matrix=ScenarioMatrixConfig(**{"path": CLASSIC, key: value})))


def test_missing_file_is_refused_with_the_source_of_matrices() -> None:
    with pytest.raises(UserError, match=r"path=no/such\.yaml: no such file .* come with a checkout"):
        make("no/such.yaml")


def test_empty_choice_of_scenarios_is_refused() -> None:
    with pytest.raises(UserError, match="leave no scenario"):
        make(exclude=list(SCENARIOS))


def test_scenario_with_other_spaces_is_refused_by_name_before_training(tmp_path: Path) -> None:
    file = tmp_path / "mixed.yaml"
    map_file = Path(__import__("robot_sf").__file__).parents[1] / "maps/svg_maps/atomic_empty_frame_test.svg"
    entry = (
        "- {{name: {name}, map_file: {map_file}, simulation_config: {{max_episode_steps: 9}}, robot_config: {robot}}}\n"
    )
    file.write_text(
        "scenarios:\n"
        + entry.format(name="usual", map_file=map_file, robot="{}")
        + entry.format(name="fast", map_file=map_file, robot="{type: differential_drive, max_linear_accel: 3.0}")
    )

    with pytest.raises(UserError, match=r"scenario 'fast' has other spaces than 'usual': actions .*exclude=\[fast\]"):
        RobotSFEnv(RobotSFConfig(scenario_matrix=ScenarioMatrixConfig(path=str(file))))


def test_scenario_without_its_map_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "lost.yaml"
    file.write_text("scenarios:\n- {name: lost, map_file: nowhere.svg, simulation_config: {}, robot_config: {}}\n")

    with pytest.raises(UserError, match="lost"):
        RobotSFEnv(RobotSFConfig(scenario_matrix=ScenarioMatrixConfig(path=str(file))))


def test_sanity_matrix_has_the_empty_area() -> None:
    assert make(SANITY, EMPTY).scenarios == [EMPTY]


def test_evaluation_covers_the_matrix_evenly_on_fixed_seeds() -> None:
    composed = experiment(
        "env=robot_sf",
        f"env.scenario_matrix.path={CLASSIC}",
        f"env.scenario_matrix.include=[{SCENARIOS[0]},{SCENARIOS[1]}]",
        "env.max_steps=2",
        "evaluation.episodes=3",
    )
    results = evaluate_baseline(composed, "straight_to_goal")

    assert [result.seed for result in results] == [1_000_000, 1_000_001, 1_000_002]
    first, second, third = [result.scenario for result in results]
    assert (first, second) == (SCENARIOS[0], SCENARIOS[1])
    assert third in (first, second)
    assert results == evaluate_baseline(composed, "straight_to_goal")
