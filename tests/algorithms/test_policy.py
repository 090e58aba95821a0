"""The policy of RLlib's network by itself: deterministic, batched, and without a trace in training's random streams."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3_rllib.policy import DreamerPolicy
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.rows import ROWS
from dreamer_exp.checkpoints.policy_file import build
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.evaluation.rollout import MakePolicy
from tests.experiments import nano

pytestmark = pytest.mark.usefixtures("ray_local")

OBSERVATIONS = np.random.default_rng(0).random((4, 3, 831), np.float32)  # T=4 steps of B=3 environments


@pytest.fixture(scope="module")
def algorithm(ray_local: None) -> Iterator[BaseDreamerV3]:
    built = build_algorithm(nano("algo=dreamerv3_rllib"))
    yield built
    built.stop()


def begun(algorithm: BaseDreamerV3, seed: int, rows: int = 3) -> DreamerPolicy:
    """Return the policy with an episode in each row."""
    policy = DreamerPolicy(algorithm.env_runner.module, rows)
    for row in range(rows):
        policy.begin(row, seed + row)
    return policy


def act(algorithm: BaseDreamerV3, seed: int) -> np.ndarray:
    policy = begun(algorithm, seed)
    return np.stack([policy.act(step) for step in OBSERVATIONS])


def test_actions_have_a_row_for_each_environment_and_are_in_the_bounds(algorithm: BaseDreamerV3) -> None:
    actions = act(algorithm, seed=1)
    assert actions.shape == (4, 3, 2)
    assert np.abs(actions).max() <= 1.0


def test_the_same_seed_gives_the_same_actions(algorithm: BaseDreamerV3) -> None:
    assert np.array_equal(act(algorithm, seed=1), act(algorithm, seed=1))


def test_acting_does_not_touch_torchs_global_generator(algorithm: BaseDreamerV3) -> None:
    before = torch.get_rng_state()
    act(algorithm, seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_action_depends_on_earlier_observations(algorithm: BaseDreamerV3) -> None:
    policy = begun(algorithm, seed=1)
    first, second = policy.act(OBSERVATIONS[0]), policy.act(OBSERVATIONS[0])
    assert not np.array_equal(first, second)


NETWORKS = {
    "dreamerv3": asdict(SIZES["nano"]),
    "dreamerv3_rllib": {"model_size": "nano", "batch_length_T": 8},
}
ACTIONS = [{"kind": "box", "size": 3}, {"kind": "discrete", "size": 5}]


@pytest.fixture(scope="module", params=product(NETWORKS, ACTIONS), ids=lambda param: f"{param[0]} {param[1]['kind']}")
def make_policy(request: pytest.FixtureRequest) -> MakePolicy:
    """Return the policy of a random network whose widths are no multiples of a vector register's."""
    name, action = request.param
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = build(
            {
                "algorithm": name,
                "network": NETWORKS[name],
                "observation_size": 7,
                "action": action,
                "symlog_obs": True,
            }
        )
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    make: MakePolicy = find_spec("algorithms", name).load().policy_maker(built)
    return make


def episode(make_policy: MakePolicy, place: int, others_seed: int, device: str | None = None) -> list[NDArray[Any]]:
    """Return the actions of one episode, in a row among others that began earlier."""
    policy, others = partial(make_policy, device=device)(ROWS), np.random.default_rng(others_seed)
    own = np.random.default_rng(0)
    for row in range(0, ROWS, 2):
        policy.begin(row, seed=row + others_seed)
    policy.act(others.normal(size=(ROWS, 7)).astype(np.float32))
    policy.begin(place, seed=1)
    actions = []
    for _ in range(6):
        observations = others.normal(size=(ROWS, 7)).astype(np.float32)
        observations[place] = own.normal(size=7)
        actions.append(policy.act(observations)[place])
    return actions


@pytest.fixture(scope="module")
def expected(make_policy: MakePolicy) -> list[NDArray[Any]]:
    return episode(make_policy, place=0, others_seed=0)


# a kernel that treats rows differently does so at the edges of its blocks
EDGES = {0, 1, 7, 8, ROWS // 2, ROWS - 1}
PLACES = [pytest.param(place, marks=[] if place in EDGES else pytest.mark.slow) for place in range(ROWS)]


@pytest.mark.parametrize("place", PLACES)
def test_an_episode_depends_bit_for_bit_on_its_seed_alone(
    make_policy: MakePolicy, expected: list[NDArray[Any]], place: int
) -> None:
    assert len(np.unique(expected, axis=0)) > 1
    assert np.array_equal(episode(make_policy, place, others_seed=1 + place), expected)


@pytest.fixture
def cuda(make_policy: MakePolicy) -> Iterator[str]:
    """Return the device, and move the shared network back to the CPU afterwards."""
    yield "cuda"
    partial(make_policy, device="cpu")(ROWS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("place", sorted(EDGES))
def test_an_episode_on_a_gpu_depends_bit_for_bit_on_its_seed_alone(
    make_policy: MakePolicy, expected: list[NDArray[Any]], cuda: str, place: int
) -> None:
    on_gpu = episode(make_policy, 0, others_seed=0, device=cuda)
    np.testing.assert_allclose(on_gpu, expected, atol=1e-4)
    assert np.array_equal(episode(make_policy, place, 1 + place, device=cuda), on_gpu)
