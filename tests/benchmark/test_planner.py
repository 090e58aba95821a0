"""A policy as Robot SF's runner calls it."""

from pathlib import Path

import numpy as np
import pytest

from dreamer_exp.benchmark.origin import find_origin
from dreamer_exp.benchmark.planner import Entrant, RunnerPlanner, contract_of_hash, planner_builder
from dreamer_exp.checkpoints.policy_source import pretrained_names
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.make import make_env
from dreamer_exp.policy.load import load_policy
from tests.experiments import nano
from tests.policy.saved import save_random

CONTRACTS = ("drive_state_rays", "drive_state_rays_latest", "drive_state_rays_metric")


def observations(number: int) -> list[dict[str, np.ndarray]]:
    """Return observations of the contract's shapes and bounds."""
    rng = np.random.default_rng(0)
    return [
        {"drive_state": rng.random((3, 5), np.float32), "rays": rng.random((3, 272), np.float32)} for _ in range(number)
    ]


def entrant(folder: Path, contract: str = CONTRACTS[0], repeat: int = 1) -> Entrant:
    save_random(folder, "dreamerv3", f"obs_contract={contract}")
    contract_hash = load_policy(folder).info.contract_hash
    assert contract_hash is not None
    return Entrant(folder, contract_hash, repeat)


def build(given: Entrant) -> RunnerPlanner:
    planner, _ = planner_builder(given)("dreamer_exp", {}, robot_kinematics="differential_drive")
    return planner


@pytest.mark.parametrize("contract", CONTRACTS)
def test_actions_are_those_of_the_loaded_policy(tmp_path: Path, contract: str) -> None:
    planner, policy = build(entrant(tmp_path, contract)), load_policy(tmp_path)
    planner._planner_reset(seed=7)
    policy.reset(seed=7)
    for observation in observations(4):
        assert np.array_equal(np.float32(planner(observation)), policy.act(observation))


def test_each_episode_begins_with_the_initial_state(tmp_path: Path) -> None:
    planner = build(entrant(tmp_path))
    episodes = []
    for _ in range(2):
        planner._planner_reset(seed=7)
        episodes.append([planner(observation) for observation in observations(4)])
    planner._planner_reset(seed=8)
    assert episodes[0] == episodes[1]
    assert episodes[0] != [planner(observation) for observation in observations(4)]


def test_an_action_is_repeated_from_the_beginning_of_each_episode(tmp_path: Path) -> None:
    planner = build(entrant(tmp_path, repeat=3))
    for _ in range(2):
        planner._planner_reset(seed=7)
        actions = [planner(observation) for observation in observations(4)]
        assert actions[0] == actions[1] == actions[2] != actions[3]


def test_an_observation_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    planner = build(entrant(tmp_path))
    (observation,) = observations(1)
    observation["rays"][-1, 3] = np.nan
    with pytest.raises(ValueError, match=r"rays\[.*must be finite"):
        planner(observation)


def test_a_contract_that_the_runner_cannot_fill_is_refused() -> None:
    with pytest.raises(UserError, match="contract 0123456789abcdef is not one of drive_state"):
        contract_of_hash("0123456789abcdef")


@pytest.mark.parametrize("encoders", ["{}", "{rays: lidar, drive_state: vector}"])
def test_a_policy_of_crowd_nav_can_enter(encoders: str) -> None:
    experiment = nano(f"obs_contract.encoders={encoders}")
    assert isinstance(experiment.env, CrowdNavConfig)
    contract = make_env(experiment.env, experiment.obs_contract).get_wrapper_attr("contract")
    assert contract_of_hash(contract.hash).size == contract.size


@pytest.mark.parametrize("name", pretrained_names())
def test_the_policies_of_this_package_can_enter(name: str) -> None:
    assert find_origin(Path(f"pretrained:{name}")).entrant.load().act(observations(1)[0]).shape == (2,)
