"""obs_contract.scaling=metric: the numbers, their inverse, and which entries it takes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv, build_contract
from dreamer_exp.envs.crowd_nav import spaces
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.envs.make import contract_of, make_env
from dreamer_exp.scaling import MetricScaling, median_of_neighbours
from tests.config.composing import loaded

KEYS = ["drive_state", "rays"]
PLAIN = ObsContractConfig("plain", KEYS, "latest")
METRIC = replace(PLAIN, name="metric", scaling="metric")
ROWS = {"drive_state": (5,), "rays": (272,)}
STACKS = {"drive_state": (3, 5), "rays": (3, 272)}
observed = hnp.arrays(np.float32, (277,), elements=st.floats(0, 1, width=32))


def as_trained(x: Tensor) -> Tensor:
    """Return newest frames (..., 277) scaled as the prototype of this scaling did, in torch and inside the network."""

    def symlog(y: Tensor) -> Tensor:
        return torch.sign(y) * torch.log1p(torch.abs(y))

    rays = x[..., 5:]
    left, right = torch.roll(rays, 1, -1), torch.roll(rays, -1, -1)
    rays = torch.maximum(torch.minimum(left, right), torch.minimum(torch.maximum(left, right), rays))
    parts = symlog(x[..., :2] * 5.0), symlog(x[..., 2:3] * 50.0) - 2.5, symlog(x[..., 3:5] * 10.0)
    return torch.cat([*parts, symlog(rays * 10.0) - 1.7], -1)


def crowd_nav_rows(steps: int) -> np.ndarray:
    """Newest frames (steps, 277) of an episode with noise."""
    env = ContractEnv(CrowdNavEnv("dense", max_steps=steps), PLAIN)
    rng = np.random.default_rng(0)
    rows = [env.reset(seed=3)[0]]
    while len(rows) < steps:
        rows.append(env.step(rng.uniform(-1, 1, 2).astype(np.float32))[0])
    return np.stack(rows)


# the numbers


@given(observed)
def test_scaled_vector_equals_the_prototypes_input(vector: np.ndarray) -> None:
    scaled = MetricScaling(ROWS).apply(vector)

    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, as_trained(torch.from_numpy(vector)).numpy(), rtol=0, atol=1e-6)


def test_scaled_episode_equals_the_prototypes_input() -> None:
    rows = crowd_nav_rows(20)

    np.testing.assert_allclose(
        MetricScaling(ROWS).apply(rows), as_trained(torch.from_numpy(rows)).numpy(), rtol=0, atol=1e-6
    )


def test_every_frame_of_a_stack_is_scaled_as_a_single_one() -> None:
    drive_state, rays = np.random.default_rng(0).uniform(0, 1, (2, 3, 272)).astype(np.float32)
    stacked = MetricScaling(STACKS).apply(np.concatenate([drive_state[:, :5].ravel(), rays.ravel()]))
    single = MetricScaling(ROWS).apply(np.concatenate([drive_state[:, :5], rays], -1))

    np.testing.assert_array_equal(stacked[:15].reshape(3, 5), single[:, :5])
    np.testing.assert_array_equal(stacked[15:].reshape(3, 272), single[:, 5:])


def test_lone_outliers_are_removed_also_between_the_last_and_the_first_ray() -> None:
    rays = np.full(272, 0.25, np.float32)
    rays[[0, 100, 271]] = [1.0, 0.0, 0.2]

    np.testing.assert_array_equal(median_of_neighbours(rays), np.full(272, 0.25, np.float32))


def test_walls_and_their_edges_stay() -> None:
    rays = np.repeat(np.float32([0.1, 0.8, 0.3]), 50)

    np.testing.assert_array_equal(median_of_neighbours(rays)[1:-1], rays[1:-1])


@given(observed)
def test_inverse_restores_the_filtered_observation(vector: np.ndarray) -> None:
    scaling = MetricScaling(ROWS)
    filtered = np.concatenate([vector[:5], median_of_neighbours(vector[5:])])

    np.testing.assert_allclose(scaling.invert(scaling.apply(vector)), filtered, rtol=0, atol=2e-6)


# behind the contract


def test_environment_returns_scaled_vectors_within_the_declared_bounds() -> None:
    rng = np.random.default_rng(1)
    plain, metric = (ContractEnv(CrowdNavEnv(max_steps=60), config) for config in (PLAIN, METRIC))
    pairs = [(plain.reset(seed=5)[0], metric.reset(seed=5)[0])]
    for _ in range(30):
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        pairs.append((plain.step(action)[0], metric.step(action)[0]))

    for raw, scaled in pairs:
        np.testing.assert_array_equal(scaled, MetricScaling(ROWS).apply(raw))
        assert metric.observation_space.contains(scaled)


def test_declared_bounds_are_the_scaled_bounds() -> None:
    contract = build_contract(spaces.observation_space(), spaces.action_space(), METRIC)
    rays = contract.entries[1]

    assert rays.low == pytest.approx(-1.7)
    assert rays.high == pytest.approx(np.log1p(10.0) - 1.7)


def test_scaling_changes_the_contracts_hash_and_none_keeps_it() -> None:
    hashes = [build_contract(spaces.observation_space(), spaces.action_space(), c).hash for c in (PLAIN, METRIC)]

    assert hashes[0] == "0fbd3acfd1970e72", "contracts without scaling keep the hash of earlier releases"
    assert hashes[1] != hashes[0]


def test_crowd_nav_and_robot_sf_share_the_metric_contract() -> None:
    hashes = {contract_of(e.env, e.obs_contract).hash for e in map(metric_experiment, ("crowd_nav", "robot_sf"))}

    assert len(hashes) == 1


def metric_experiment(env: str) -> Any:
    """Return the experiment of this environment with the metric contract."""
    return loaded(f"env={env}", "obs_contract=drive_state_rays_metric", "algo.symlog_obs=false")


def test_option_file_scales_newest_frames() -> None:
    experiment = metric_experiment("crowd_nav")
    env = make_env(experiment.env, experiment.obs_contract)

    assert (env.contract.size, env.contract.frames, env.contract.scaling) == (277, "latest", "metric")


def test_contract_restores_observed_numbers() -> None:
    raw = crowd_nav_rows(4)
    contract = build_contract(spaces.observation_space(), spaces.action_space(), METRIC)
    filtered = np.concatenate([raw[:, :5], median_of_neighbours(raw[:, 5:])], -1)

    np.testing.assert_allclose(contract.to_observed(MetricScaling(ROWS).apply(raw)), filtered, rtol=0, atol=2e-6)


def test_contract_without_scaling_returns_the_vectors_unchanged() -> None:
    contract = build_contract(spaces.observation_space(), spaces.action_space(), PLAIN)
    raw = crowd_nav_rows(2)

    assert contract.to_observed(raw) is raw


# refusals


@pytest.mark.parametrize(
    "space",
    [
        Dict({"occupancy_grid": Box(0.0, 1.0, (3, 32, 32), np.float32)}),
        Dict({"drive_state": Box(-1.0, 1.0, (3, 4), np.float32)}),
        Dict({"rays": Box(0.0, 10.0, (3, 272), np.float32)}),
    ],
)
def test_entry_that_metric_does_not_know_is_refused_in_one_line(space: Dict) -> None:
    (key,) = space.spaces
    with pytest.raises(UserError) as error:
        build_contract(space, spaces.action_space(), replace(METRIC, keys=[key]))

    assert str(error.value).startswith(f"obs_contract.scaling=metric: {key!r} is Box(")
    assert "it knows drive_state (5 columns) and rays" in str(error.value)
    assert "\n" not in str(error.value)


def test_box_observation_is_refused() -> None:
    with pytest.raises(UserError, match=r"^obs_contract\.scaling=metric: 'observation' is Box\("):
        build_contract(Box(-1.0, 1.0, (5,), np.float32), spaces.action_space(), replace(METRIC, keys=[]))


def test_unknown_scaling_is_refused() -> None:
    with pytest.raises(UserError, match=r"^obs_contract\.scaling: 'feet' is not allowed; use none or metric"):
        build_contract(spaces.observation_space(), spaces.action_space(), replace(METRIC, scaling="feet"))
