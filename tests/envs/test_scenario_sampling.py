"""`env.failure_floor`: scenarios are drawn by weights that can be changed, from the seed of the run alone."""

from collections import Counter

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.robot_sf.config import RobotSFConfig, ScenarioMatrixConfig
from dreamer_exp.envs.scenario_sampling import ScenarioSampling, drawn_scenarios

EQUAL = {"open": 1.0, "crossing": 1.0}


def drawn(env: ScenarioSampling, number: int, seed: int | None = None) -> list[str]:
    """Return the families of some episodes, the first of which has a seed."""
    names = []
    for i in range(number):
        env.reset(seed=seed if i == 0 else None)
        names.append(env.unwrapped.layout.scenario)
    return names


def test_scenarios_are_drawn_by_weight() -> None:
    env = ScenarioSampling(CrowdNavEnv(), {"open": 1.0, "crossing": 3.0})

    counts = Counter(drawn(env, 60, seed=1))

    assert set(counts) == {"open", "crossing"}
    assert 33 <= counts["crossing"] <= 57


def test_the_same_seed_draws_the_same_scenarios_again() -> None:
    env = ScenarioSampling(CrowdNavEnv(), EQUAL)

    first = drawn(env, 8, seed=5)

    assert drawn(env, 8, seed=5) == first
    assert len(set(first)) == 2


def test_new_weights_hold_from_the_next_episode_on() -> None:
    env = ScenarioSampling(CrowdNavEnv(), EQUAL)
    env.reset(seed=1)

    env.set_scenario_weights({"open": 0.0, "crossing": 1.0})

    assert set(drawn(env, 5)) == {"crossing"}


def test_an_episode_is_the_one_of_its_scenario_and_seed() -> None:
    env, plain = ScenarioSampling(CrowdNavEnv(), EQUAL), CrowdNavEnv()
    observation, _ = env.reset(seed=7)

    expected, _ = plain.reset(seed=7, options={"scenario": env.unwrapped.layout.scenario})

    assert observation["rays"].tobytes() == expected["rays"].tobytes()


def test_a_scenario_in_the_options_is_not_drawn() -> None:
    env = ScenarioSampling(CrowdNavEnv(), EQUAL)

    env.reset(seed=1, options={"scenario": "doorway"})

    assert env.unwrapped.layout.scenario == "doorway"


def test_crowd_nav_draws_its_families_by_their_weights() -> None:
    config = CrowdNavConfig(failure_floor=0.1, scenario_weights={"open": 1.0, "dense": 3.0, "blocks": 0.0})

    assert drawn_scenarios(config) == {"open": 0.25, "dense": 0.75}


@pytest.mark.parametrize(
    "config",
    [
        CrowdNavConfig(failure_floor=0.1, scenario="doorway"),
        GymConfig(failure_floor=0.1),
        RobotSFConfig(failure_floor=0.1),
        RobotSFConfig(failure_floor=0.1, scenario_matrix=ScenarioMatrixConfig(path="a.yaml", strategy="cycle")),
    ],
)
def test_an_environment_that_draws_no_scenarios_is_refused(config: CrowdNavConfig) -> None:
    with pytest.raises(UserError, match=r"env\.failure_floor=0\.1: .* draws no scenarios"):
        drawn_scenarios(config)
