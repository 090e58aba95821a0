"""ContractEnv: the vectors it returns, the actions it takes, and the errors it raises."""

import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stacked_env import ACCELERATIONS, StackedEnv, float32, wrapped

from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv, ContractError, Fault

# The wrapped env


@pytest.mark.filterwarnings("ignore:.*(different from the unwrapped|alternative render modes)")
@pytest.mark.parametrize("frames", ["all", "latest"])
def test_wrapped_dict_env_passes_gymnasiums_checker(frames: str) -> None:
    check_env(wrapped(frames=frames))


@pytest.mark.filterwarnings("ignore:.*(different from the unwrapped|For Box action|A Box observation space)")
def test_wrapped_registered_env_passes_gymnasiums_checker() -> None:
    check_env(ContractEnv(gymnasium.make("Pendulum-v1")), skip_render_check=True)


def test_config_and_keywords_build_the_same_contract() -> None:
    config = ObsContractConfig("custom", ["state", "goal"], "latest")
    assert ContractEnv(StackedEnv(), config).contract == wrapped(frames="latest").contract


@given(
    state=hnp.arrays(np.float32, (3, 2), elements=st.floats(-10, 10, width=32)),
    goal=hnp.arrays(np.float64, (1,), elements=st.floats(0, 1)),
    frames=st.sampled_from(["all", "latest"]),
    keys=st.permutations(["state", "goal"]),
)
def test_vector_holds_the_elements_of_its_entries(state: Any, goal: Any, frames: str, keys: list[str]) -> None:
    inner = StackedEnv()
    inner.replacements = {"state": state, "goal": goal}
    env = ContractEnv(inner, keys=keys, frames=frames)
    vector, _ = env.reset(seed=0)
    expected = {"state": state if frames == "all" else state[-1], "goal": goal}
    assert vector.dtype == np.float32
    assert vector.shape == (env.contract.size,)
    for entry in env.contract.entries:
        part = vector[entry.start : entry.stop].reshape(entry.shape)
        np.testing.assert_array_equal(part, expected[entry.key].astype(np.float32))


def test_latest_frames_are_the_newest_row() -> None:
    inner = StackedEnv()
    env = wrapped(inner, frames="latest")
    env.reset(seed=0)
    vector = env.step(np.ones(2, np.float32))[0]
    np.testing.assert_array_equal(vector[:2], inner.rows[2])


def test_returned_vectors_share_no_memory() -> None:
    env = wrapped()
    vectors = [env.reset(seed=0)[0]] + [env.step(np.ones(2, np.float32))[0] for _ in range(3)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(vectors) for b in vectors[:i])


def test_vector_space_has_the_bounds_of_every_element() -> None:
    space = wrapped().observation_space
    assert isinstance(space, Box)
    assert space.dtype == np.float32
    np.testing.assert_array_equal(space.low, [-10] * 6 + [0])
    np.testing.assert_array_equal(space.high, [10] * 6 + [1])


# Actions

finite = st.floats(-1e6, 1e6, width=32)
unit = st.floats(-1, 1, width=32)


def sent(space: Space[Any], action: Any) -> Any:
    inner = StackedEnv(space)
    env = wrapped(inner)
    env.reset(seed=0)
    env.step(action)
    return inner.received


def test_box_actions_become_the_unit_box() -> None:
    assert wrapped().action_space == Box(-1.0, 1.0, (2,), np.float32)


@given(bounds=st.tuples(finite, finite).map(sorted))
def test_action_map_reaches_the_bounds_of_the_environment(bounds: list[float]) -> None:
    low, high = bounds
    space = Box(low, high, (1,), np.float32)
    limits = np.finfo(np.float32)
    rounding = max(2 * float(limits.eps) * max(abs(low), abs(high)), float(limits.smallest_subnormal))
    assert sent(space, float32(-1))[0] == pytest.approx(low, abs=rounding)
    assert sent(space, float32(0))[0] == pytest.approx(low / 2 + high / 2, abs=rounding)
    assert sent(space, float32(1))[0] == pytest.approx(high, abs=rounding)


@given(bounds=st.tuples(finite, finite).map(sorted), actions=st.tuples(unit, unit).map(sorted))
def test_action_map_is_monotone_and_stays_in_the_action_space(bounds: list[float], actions: list[float]) -> None:
    space = Box(bounds[0], bounds[1], (1,), np.float32)
    lesser, greater = (sent(space, float32(action)) for action in actions)
    assert lesser[0] <= greater[0]
    assert space.contains(lesser)
    assert space.contains(greater)


def test_unit_bounds_leave_actions_unchanged() -> None:
    action = float32(0.3, -0.7)
    np.testing.assert_array_equal(sent(Box(-1.0, 1.0, (2,), np.float32), action), action)


def test_actions_beyond_the_unit_box_are_clipped() -> None:
    np.testing.assert_array_equal(sent(ACCELERATIONS, float32(5, -5)), [3, -2])


def test_environment_receives_actions_of_its_dtype() -> None:
    space = Box(0.1, 0.7, (2,), np.float64)
    received = sent(space, float32(-1, 1))
    assert received.dtype == np.float64
    assert space.contains(received)


@pytest.mark.parametrize("start", [0, 1, -1])
def test_discrete_actions_count_from_0(start: int) -> None:
    space = Discrete(3, start=start)
    assert wrapped(StackedEnv(space)).action_space == Discrete(3)
    received = [sent(space, action) for action in np.arange(3)]
    assert received == [start, start + 1, start + 2]
    assert all(space.contains(action) for action in received)


# A broken env


def state_with(value: float) -> Any:
    state = np.zeros((3, 2), np.float32)
    state[2, 1] = value
    return state


@pytest.mark.parametrize(
    ("replacements", "frames", "message"),
    [
        ({"goal": None}, "all", "goal: missing from the observation, which has: state"),
        ({"state": np.zeros((2, 3))}, "all", "state: shape (2, 3); the observation space declares (3, 2)"),
        ({"goal": np.zeros(())}, "all", "goal: shape (); the observation space declares (1,)"),
        ({"goal": np.array(["near"])}, "all", "goal: dtype <U4 does not convert to float32"),
        ({"state": state_with(np.nan)}, "all", "state[2, 1] is nan; it must be finite and in [-10.0, 10.0]"),
        ({"state": state_with(np.inf)}, "latest", "state[-1, 1] is inf; it must be finite and in [-10.0, 10.0]"),
        ({"state": state_with(10.5)}, "all", "state[2, 1] is 10.5; it must be finite and in [-10.0, 10.0]"),
        ({"goal": np.array([-0.5])}, "all", "goal[0] is -0.5; it must be finite and in [0.0, 1.0]"),
    ],
)
def test_reset_raises_for_an_observation_outside_its_space(
    replacements: dict[str, Any], frames: str, message: str
) -> None:
    inner = StackedEnv()
    inner.replacements = replacements
    with pytest.raises(ContractError) as caught:
        wrapped(inner, frames).reset(seed=0)
    assert str(caught.value) == message


def test_reset_tolerates_rounding_at_a_bound() -> None:
    inner = StackedEnv()
    inner.replacements = {"state": state_with(10.001)}
    wrapped(inner).reset(seed=0)


@pytest.mark.parametrize(
    ("replacements", "error"),
    [
        ({"goal": None}, ContractError),
        ({"goal": np.zeros(2)}, ContractError),
        ({"state": state_with(np.nan)}, Fault),
        ({"state": state_with(-np.inf)}, Fault),
        ({"state": state_with(10.5)}, Fault),
        ({"goal": np.array([-0.5])}, Fault),
    ],
)
def test_step_raises_a_fault_only_for_a_single_bad_number(
    replacements: dict[str, Any], error: type[ContractError]
) -> None:
    inner = StackedEnv()
    env = wrapped(inner)
    env.reset(seed=0)
    inner.replacements = replacements
    with pytest.raises(ContractError) as caught:
        env.step(np.zeros(2, np.float32))
    assert type(caught.value) is error


def test_infinite_bound_allows_every_finite_number_and_no_other() -> None:
    inner = StackedEnv()
    inner.observation_space = Dict({"state": Box(-np.inf, np.inf, (3, 2), np.float32)})
    env = ContractEnv(inner, keys=["state"])
    inner.replacements = {"state": state_with(3e38), "goal": None}
    env.reset(seed=0)
    inner.replacements = {"state": state_with(np.inf), "goal": None}
    with pytest.raises(Fault, match="is inf"):
        env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (3, None),
        (255.0, None),
        (0.5, "state[2, 1] is 0.5; it must be an integer, as uint8, and in [0.0, 255.0]"),
        (255.02, "state[2, 1] is 255.02"),
        (256, "state[2, 1] is 256.0; it must be an integer, as uint8, and in [0.0, 255.0]"),
    ],
)
def test_numbers_of_uint8_must_be_integers(value: float, fault: str | None) -> None:
    inner = StackedEnv()
    inner.observation_space = Dict({"state": Box(0, 255, (3, 2), np.uint8)})
    inner.replacements = {"state": state_with(value), "goal": None}
    env = ContractEnv(inner, keys=["state"])
    if fault is None:
        env.reset(seed=0)
        return
    with pytest.raises(Fault) as caught:
        env.reset(seed=0)
    assert str(caught.value).startswith(fault)


@pytest.mark.parametrize("reward", [float("nan"), np.float32("inf")])
def test_step_raises_for_a_reward_that_is_not_finite(reward: Any) -> None:
    inner = StackedEnv()
    inner.reward = reward
    env = wrapped(inner)
    env.reset(seed=0)
    with pytest.raises(ContractError, match=r"reward is (nan|inf)"):
        env.step(np.zeros(2, np.float32))


# Imports


def test_contract_imports_neither_ray_nor_torch() -> None:
    code = "import sys, dreamer_exp.envs.contract; sys.exit(any(name in sys.modules for name in ('ray', 'torch')))"
    subprocess.run([sys.executable, "-c", code], check=True)
