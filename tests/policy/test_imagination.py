"""`policy.imagine`: the predictions of the run's own world model, by key, in the environment's numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamer_exp import load_policy
from dreamer_exp.algorithms.dreamerv3.implementation import imagine as open_loop
from dreamer_exp.checkpoints.policy_file import save_policy
from tests.experiments import nano, nano_gym
from tests.policy.saved import ALGORITHMS, random_network, save_random

STEPS, O = 6, 7  # noqa: E741


def test_predictions_are_those_of_the_runs_open_loop(tmp_path: Path) -> None:
    module = random_network("dreamerv3", O, {"kind": "box", "size": 3})
    save_policy(module, "dreamerv3", tmp_path, {"discount": 0.9})
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(1, 1, O)).astype(np.float32)
    actions = rng.uniform(-1, 1, size=(1, STEPS, 3)).astype(np.float32)
    parts = map(torch.from_numpy, (seen, np.ones((1, 1), np.float32), actions))
    observation, reward, proceeds = open_loop(module, *parts, gamma=0.9, seed=4)
    policy = load_policy(tmp_path, seed=4)
    policy.act(seen[0, 0])

    found = policy.imagine(policy.state, actions[0])

    assert np.allclose(found.observation["observation"], observation[0, 1:].detach(), rtol=1e-3, atol=1e-3)
    assert np.allclose(found.reward, reward[0, 1:].detach(), rtol=1e-2, atol=1e-2)
    assert np.allclose(found.proceeds, proceeds[0, 1:].detach(), atol=1e-4)


def test_rllibs_heads_predict_the_same(tmp_path: Path) -> None:
    module = random_network("dreamerv3_rllib", O, {"kind": "discrete", "size": 3})
    save_policy(module, "dreamerv3_rllib", tmp_path, {})
    policy = load_policy(tmp_path)
    policy.act(np.ones(O))
    h, z, _ = (part.clone() for part in policy.state.tensors)
    found = policy.network.predict(policy.state.tensors)

    model = module.world_model
    assert torch.allclose(torch.sign(x := model.decoder(h=h, z=z)) * torch.expm1(x.abs()), found.observation, rtol=1e-4)
    assert torch.allclose(model.continue_predictor(h=h, z=z, return_distribution=True)[1].probs, found.proceeds)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_predictions_come_by_key_for_each_robot(tmp_path: Path, algorithm: str) -> None:
    save_random(tmp_path, experiment=nano(f"algo={algorithm}"), algorithm=algorithm)
    policy = load_policy(tmp_path, robots=2)
    policy.act({"drive_state": np.zeros((2, 3, 5)), "rays": np.ones((2, 3, 272))})
    found = policy.imagine(policy.state, np.zeros((STEPS, 2, 2)))

    shapes = {key: part.shape for key, part in found.observation.items()}
    assert shapes == {"drive_state": (STEPS, 2, 3, 5), "rays": (STEPS, 2, 3, 272)}
    assert (found.reward.shape, found.proceeds.shape) == ((STEPS, 2), (STEPS, 2))
    assert np.all((found.proceeds >= 0) & (found.proceeds <= 1))


def test_scaled_observations_come_back_in_the_environments_numbers(tmp_path: Path) -> None:
    save_random(tmp_path, experiment=nano("obs_contract=drive_state_rays_metric"))
    policy = load_policy(tmp_path)
    assert policy.contract is not None
    observed = np.random.default_rng(0).random(277).astype(np.float32)
    observed[5:] = 0.5
    parts = {entry.key: observed[entry.place].reshape(entry.shape) for entry in policy.contract.entries}

    assert np.allclose(policy.contract.to_observed(policy.contract.vectors(parts, None)), observed, atol=1e-5)


def test_actions_are_the_environments(tmp_path: Path) -> None:
    save_random(tmp_path, experiment=nano_gym("Pendulum-v1"))
    policy = load_policy(tmp_path)
    assert policy.contract is not None

    assert np.allclose(policy.contract.from_robot(np.array([[-2.0], [1.0], [9.0]])), [[-1.0], [0.5], [1.0]])


def test_imagining_leaves_the_policy_as_it_was_and_repeats(tmp_path: Path) -> None:
    save_random(tmp_path, experiment=nano_gym("CartPole-v1"))
    policy, untouched = load_policy(tmp_path), load_policy(tmp_path)
    actions = np.array([0, 1, 1])
    first = policy.imagine(policy.state, actions)

    assert np.array_equal(policy.imagine(policy.state, actions).reward, first.reward)
    assert not np.array_equal(policy.imagine(policy.state, actions, seed=9).observation["observation"], first[0])
    assert [policy.act(np.full(4, 0.1)) for _ in range(9)] == [untouched.act(np.full(4, 0.1)) for _ in range(9)]


def test_wrong_actions_are_named(tmp_path: Path) -> None:
    save_random(tmp_path)
    policy = load_policy(tmp_path)
    with pytest.raises(ValueError, match=r"actions: shape \(4, 3\); imagining H steps needs \(H, 2\)"):
        policy.imagine(policy.state, np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("actions", "line"),
    [
        (np.zeros((0, 2)), "actions: none; imagining needs at least one step"),
        (np.array([[0.0, 0.0], [np.nan, 0.0]]), r"actions\[1, 0\] is nan; it must be finite"),
    ],
)
def test_actions_that_cannot_be_imagined_are_named(tmp_path: Path, actions: NDArray[np.float64], line: str) -> None:
    save_random(tmp_path)
    policy = load_policy(tmp_path)
    with pytest.raises(ValueError, match=line):
        policy.imagine(policy.state, actions)


def test_the_state_of_other_robots_is_not_imagined(tmp_path: Path) -> None:
    save_random(tmp_path)
    with pytest.raises(ValueError, match="state: shapes"):
        load_policy(tmp_path).imagine(load_policy(tmp_path, robots=2).state, np.zeros((4, 2)))


def test_discrete_actions_that_the_environment_lacks_are_refused(tmp_path: Path) -> None:
    save_random(tmp_path, experiment=nano_gym("CartPole-v1"))
    policy = load_policy(tmp_path)
    with pytest.raises(ValueError, match="actions: whole numbers of 2 Discrete actions are needed"):
        policy.imagine(policy.state, np.array([0, 2]))
