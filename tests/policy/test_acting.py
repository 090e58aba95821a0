"""A loaded policy acts bit for bit as the run's own, and keeps, resets and returns its state."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamer_exp import load_policy
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.checkpoints.policy_file import load_policy_maker, save_learner_policy, save_policy
from dreamer_exp.checkpoints.policy_interface import policy_interface
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.envs.make import contract_of, make_env, make_raw_env
from dreamer_exp.policy.acting import Policy, PolicyState
from tests.experiments import nano, nano_gym
from tests.policy.saved import ALGORITHMS, random_network, save_random

ACTIONS = ({"kind": "box", "size": 3}, {"kind": "discrete", "size": 5})
O = 7  # noqa: E741


def observations(steps: int, rows: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(steps, rows, O)).astype(np.float32)


def actions_of(policy: Any, seen: NDArray[np.float32]) -> NDArray[Any]:
    return np.stack([policy.act(step) for step in seen])


@pytest.mark.parametrize("rows", [1, 3, ROWS])
@pytest.mark.parametrize(("algorithm", "action"), [*product(ALGORITHMS, ACTIONS)])
def test_vectors_give_the_actions_of_the_runs_policy_bit_for_bit(
    tmp_path: Path, algorithm: str, action: dict[str, Any], rows: int
) -> None:
    module, seen = random_network(algorithm, O, action), observations(20, rows)
    save_policy(module, algorithm, tmp_path, {})
    own = find_spec("algorithms", algorithm).load().policy_maker(module)(rows)
    for row in range(rows):
        own.begin(row, 5 + row)

    actions = actions_of(load_policy(tmp_path, robots=rows, seed=5), seen)

    assert len(np.unique(actions, axis=0)) > 1
    assert np.array_equal(actions, actions_of(own, seen))


@pytest.fixture(scope="module", params=ALGORITHMS)
def run(request: pytest.FixtureRequest, ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the policy of a nano run after an iteration."""
    folder = tmp_path_factory.mktemp(request.param)
    experiment = nano(f"algo={request.param}")
    algorithm = build_algorithm(experiment)
    try:
        algorithm.train()
        contract = contract_of(experiment.env, experiment.obs_contract)
        extra = policy_interface(experiment, contract)
        algorithm.on_learner(lambda learner: save_learner_policy(learner, request.param, folder, extra))
    finally:
        algorithm.stop()
    return folder


def test_a_robot_drives_raw_observations_as_the_run_evaluates(run: Path) -> None:
    settings = nano()
    raw, behind_contract = make_raw_env(settings.env), make_env(settings.env, settings.obs_contract)
    own, policy = load_policy_maker(run)(1), load_policy(run, seed=9)
    own.begin(0, 9)
    observation, vector = raw.reset(seed=3)[0], behind_contract.reset(seed=3)[0]
    for _ in range(15):
        observation = raw.step(policy.act(observation))[0]
        vector = behind_contract.step(own.act(vector[None])[0])[0]
        assert np.array_equal(np.concatenate([part.ravel() for part in observation.values()]), vector)


@pytest.fixture(scope="module", params=product(ALGORITHMS, ACTIONS), ids=lambda param: f"{param[0]} {param[1]['kind']}")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("policy")
    algorithm, action = request.param
    save_policy(random_network(algorithm, O, action), algorithm, made, {})
    return made


@pytest.fixture
def policy(folder: Path) -> Policy:
    return load_policy(folder, robots=3)


def test_reset_repeats_the_episode(policy: Policy) -> None:
    seen = observations(5, 3)
    first = actions_of(policy, seen)
    policy.reset()

    assert np.array_equal(actions_of(policy, seen), first)


def test_reset_of_one_robot_leaves_the_others(policy: Policy) -> None:
    seen = observations(10, 3)
    uninterrupted = actions_of(policy, seen)
    policy.reset()
    actions_of(policy, seen[:5])
    policy.reset(robot=1, seed=70)
    rest = actions_of(policy, seen[5:])

    assert np.array_equal(rest[:, [0, 2]], uninterrupted[5:][:, [0, 2]])
    assert not np.array_equal(rest[:, 1], uninterrupted[5:, 1])


def test_reset_of_a_robot_that_is_not_there_is_refused(policy: Policy) -> None:
    with pytest.raises(IndexError, match="robot=3: the policy was loaded for 3, numbered from 0"):
        policy.reset(robot=3)


@pytest.mark.parametrize("sample", [False, True])
def test_an_explicit_state_continues_where_it_was_taken(policy: Policy, sample: bool) -> None:
    seen = observations(10, 3)
    for observation in seen[:5]:
        policy.act(observation, sample=sample)
    state, expected, found = policy.state, [], []
    for observation in seen[5:]:
        action, state = policy.step(observation, state, sample=sample)
        found.append(action)
    for observation in seen[5:]:
        expected.append(policy.act(observation, sample=sample))

    assert np.array_equal(found, expected)


def test_the_state_of_another_policy_is_refused(policy: Policy, folder: Path) -> None:
    with pytest.raises(ValueError, match="state: shapes"):
        policy.state = load_policy(folder, robots=2).state


def test_the_noise_of_another_number_of_robots_is_refused(policy: Policy) -> None:
    state = policy.state
    with pytest.raises(ValueError, match="state: noise of 2 robots; the policy needs that of 3"):
        policy.step(observations(1, 3)[0], PolicyState(state.tensors, state.noise[:2]))


def test_a_refused_state_leaves_the_policy_as_it_was(policy: Policy) -> None:
    policy.act(observations(1, 3)[0])
    before = policy.state
    broken = PolicyState(tuple(part + 1 for part in before.tensors), (*before.noise[:2], torch.zeros(3)))
    with pytest.raises(ValueError, match="state: its noise is not that of a policy"):
        policy.state = broken

    assert all(map(torch.equal, policy.state.tensors, before.tensors))
    assert all(map(torch.equal, policy.state.noise, before.noise))


def test_sampled_actions_depend_on_the_seed_alone(folder: Path) -> None:
    def sampled(seed: int) -> NDArray[Any]:
        policy = load_policy(folder, robots=3, seed=seed)
        return np.stack([policy.act(step, sample=True) for step in observations(20, 3)])

    torch.manual_seed(0)
    first = sampled(1)
    torch.manual_seed(1)
    assert np.array_equal(sampled(1), first)
    assert not np.array_equal(sampled(2), first)


def test_acting_does_not_touch_torchs_global_generator(policy: Policy) -> None:
    before = torch.get_rng_state()
    policy.act(observations(1, 3)[0], sample=True)

    assert torch.equal(torch.get_rng_state(), before)


def test_the_value_is_a_number_for_each_robot(policy: Policy) -> None:
    policy.act(observations(1, 3)[0])

    assert policy.value().shape == (3,)
    assert np.isfinite(policy.value()).all()


def test_one_robot_has_no_leading_axis(folder: Path) -> None:
    policy, seen = load_policy(folder), observations(4, 1)
    batched = load_policy(folder, robots=1)

    assert np.array_equal([policy.act(step[0]) for step in seen], actions_of(batched, seen)[:, 0])


def test_actions_are_those_of_the_environment(tmp_path: Path) -> None:
    save_random(tmp_path, experiment=nano_gym("Pendulum-v1"))
    policy = load_policy(tmp_path, robots=32)
    actions = policy.act(np.zeros((32, 3)), sample=True)

    assert 1.0 < np.abs(actions).max() <= 2.0
