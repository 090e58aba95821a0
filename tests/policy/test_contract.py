"""Observations of a loaded policy: equal to those behind `ContractEnv`, or refused in one line that names the fault."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import build_contract
from dreamer_exp.envs.make import make_env, make_raw_env
from dreamer_exp.policy.contract import ObservationError, PolicyContract
from tests.experiments import nano

SHAPES = {"drive_state": (3, 5), "rays": (3, 272)}


def contract(*overrides: str) -> PolicyContract:
    settings = nano(*overrides)
    return PolicyContract(make_env(settings.env, settings.obs_contract).contract.to_dict())


@pytest.fixture(scope="module")
def stacked() -> PolicyContract:
    return contract()


def observed(*lead: int, **changes: Any) -> dict[str, Any]:
    return {**{key: np.zeros((*lead, *shape), np.float32) for key, shape in SHAPES.items()}, **changes}


@pytest.mark.parametrize("option", ["drive_state_rays", "drive_state_rays_latest", "drive_state_rays_metric"])
def test_vectors_are_those_behind_contract_env(option: str) -> None:
    settings = nano(f"obs_contract={option}")
    behind = make_env(settings.env, settings.obs_contract)
    raw = make_raw_env(settings.env).reset(seed=1)[0]

    assert np.array_equal(contract(f"obs_contract={option}").vectors(raw, None)[0], behind.reset(seed=1)[0])


def test_several_robots_give_a_row_each(stacked: PolicyContract) -> None:
    rays = np.random.default_rng(0).random((2, 3, 272), np.float32)
    vectors = stacked.vectors(observed(2, rays=rays), 2)

    assert vectors.shape == (2, 831)
    assert np.array_equal(vectors[:, 15:], rays.reshape(2, -1))


FAULTS: dict[str, tuple[Mapping[str, Any], str]] = {
    "key": ({"lidar": np.zeros(3)}, "drive_state: missing from the observation, which has: lidar"),
    "shape": (observed(rays=np.zeros((3, 270))), r"rays: shape \(3, 270\); the policy needs \(3, 272\)"),
    "dtype": (observed(rays=np.full((3, 272), "near")), "rays: dtype <U4 does not convert to float32"),
    "batch": (observed(2), r"drive_state: shape \(2, 3, 5\).*for several robots, load it with robots=N"),
    "ragged": (observed(rays=[[1.0], [1.0, 2.0]]), "rays: not an array of numbers"),
    "nan": (observed(rays=np.full((3, 272), np.nan)), r"rays\[0, 0\] is nan; it must be finite and in \[0.0, 1.0\]"),
    "bounds": (observed(rays=np.full((3, 272), 2.0)), r"rays\[0, 0\] is 2.0; it must be finite and in \[0.0, 1.0\]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_in_one_line(stacked: PolicyContract, fault: str) -> None:
    observation, line = FAULTS[fault]
    with pytest.raises(ObservationError, match=line) as raised:
        stacked.vectors(observation, None)
    assert "\n" not in str(raised.value)


def test_another_number_of_robots_is_named(stacked: PolicyContract) -> None:
    with pytest.raises(ObservationError, match="drive_state: 3 robots, but the policy was loaded for robots=2"):
        stacked.vectors(observed(3), 2)


@pytest.mark.parametrize("option", ["drive_state_rays", "drive_state_rays_latest", "drive_state_rays_metric"])
def test_every_number_is_checked_against_its_own_bounds(option: str) -> None:
    settings, policy = nano(f"obs_contract={option}"), contract(f"obs_contract={option}")
    spaces, keys = make_raw_env(settings.env).observation_space, policy.keys
    assert isinstance(spaces, Dict)
    for side in ("low", "high"):
        bounds = {key: getattr(spaces[key], side) for key in keys}
        policy.vectors(bounds, None)  # a bound itself is allowed
        for entry in policy.entries:
            for column in range(entry.shape[-1]):
                outside = {key: part.copy() for key, part in bounds.items()}
                outside[entry.key][-1, column] += 0.01 if side == "high" else -0.01
                with pytest.raises(ObservationError, match=rf"{entry.key}\[.*{column}\] is "):
                    policy.vectors(outside, None)


@pytest.mark.parametrize("option", ["drive_state_rays", "drive_state_rays_metric"])
def test_a_contract_of_an_earlier_release_is_read(option: str) -> None:
    settings = nano(f"obs_contract={option}")
    tree = make_env(settings.env, settings.obs_contract).contract.to_dict()
    for entry in tree["entries"]:
        del entry["observed_low"], entry["observed_high"]
    raw = make_raw_env(settings.env).reset(seed=1)[0]
    old = PolicyContract(tree)

    assert np.array_equal(old.vectors(raw, None), contract(f"obs_contract={option}").vectors(raw, None))
    with pytest.raises(ObservationError, match="rays"):
        old.vectors({**raw, "rays": np.full((3, 272), 2.0)}, None)


def test_equal_bounds_are_written_once() -> None:
    settings = nano()
    drive_state, rays = make_env(settings.env, settings.obs_contract).contract.to_dict()["entries"]

    assert (rays["observed_low"], rays["observed_high"]) == (0.0, 1.0)
    assert len(drive_state["observed_low"]) == 15


def test_a_vector_of_another_length_is_named(stacked: PolicyContract) -> None:
    with pytest.raises(ObservationError, match=r"the observation vector: shape \(830,\); the policy needs \(831,\)"):
        stacked.vectors(np.zeros(830), None)


def test_a_vector_with_nan_is_named(stacked: PolicyContract) -> None:
    with pytest.raises(ObservationError, match=r"the observation vector\[4\] is nan; it must be finite"):
        stacked.vectors(np.where(np.arange(831) == 4, np.nan, 0.0), None)


def test_discrete_actions_count_from_the_environments_first() -> None:
    built = build_contract(Dict({"x": Box(-1, 1, (2,))}), Discrete(3, start=5), ObsContractConfig("own", ["x"]))

    assert PolicyContract(built.to_dict()).to_robot(np.array([0, 2])).tolist() == [5, 7]


def test_an_infinite_bound_allows_every_finite_number() -> None:
    built = build_contract(Box(-np.inf, np.inf, (2,)), Discrete(2), ObsContractConfig("own"))

    assert PolicyContract(built.to_dict()).vectors(np.array([1e30, -1e30]), None).shape == (1, 2)
    assert asdict(built)["entries"][0]["high"] == np.inf
