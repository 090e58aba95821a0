"""The observation contract: which numbers a policy sees, in which order, and which actions the env receives."""

import json
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
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv, ContractError, Fault, ObservationContract, build_contract


def float32(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


ROBOT_OBSERVATION = Dict(
    {
        "drive_state": Box(-1.0, 1.0, (3, 5), np.float32),
        "rays": Box(0.0, 1.0, (3, 272), np.float32),
        "mode": Discrete(4),
    }
)
ACCELERATIONS = Box(float32(-1.0, -2.0), float32(3.0, 2.0), dtype=np.float32)


class StackedEnv(gymnasium.Env[dict[str, Any], Any]):
    """A point pushed along a line; `state` (3, 2) stacks position and velocity, `goal` (1,) does not change."""

    observation_space: Space[Any] = Dict(
        {"state": Box(-10.0, 10.0, (3, 2), np.float32), "goal": Box(0.0, 1.0, (1,), np.float64)}
    )

    def __init__(self, action_space: Space[Any] = ACCELERATIONS) -> None:
        self.action_space = action_space
        self.received: Any = None
        self.replacements: dict[str, Any] = {}  # what a broken env returns instead, by key
        self.reward: Any = 0.5

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.rows = np.tile(self.np_random.uniform(-1, 1, 2).astype(np.float32), (3, 1))
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self.received = action
        velocity = np.clip(self.rows[-1, 1] + 0.1 * np.mean(action), -10, 10)
        newest = [np.clip(self.rows[-1, 0] + 0.1 * velocity, -10, 10), velocity]
        self.rows = np.vstack([self.rows[1:], newest]).astype(np.float32)
        return self._observation(), self.reward, False, False, {}

    def _observation(self) -> dict[str, Any]:
        healthy = {"state": self.rows.copy(), "goal": np.array([0.25])}
        return {key: value for key, value in (healthy | self.replacements).items() if value is not None}


def robot_contract(keys: tuple[str, ...] = ("drive_state", "rays"), frames: str = "all") -> ObservationContract:
    return build_contract(ROBOT_OBSERVATION, ACCELERATIONS, ObsContractConfig("test", list(keys), frames))


def wrapped(inner: StackedEnv | None = None, frames: str = "all") -> ContractEnv:
    return ContractEnv(inner or StackedEnv(), keys=["state", "goal"], frames=frames)


# The layout


@pytest.mark.parametrize(
    ("keys", "frames", "slices", "size"),
    [
        (("drive_state", "rays"), "all", [(0, 15), (15, 831)], 831),
        (("drive_state", "rays"), "latest", [(0, 5), (5, 277)], 277),
        (("rays", "drive_state"), "all", [(0, 816), (816, 831)], 831),
        (("rays",), "latest", [(0, 272)], 272),
    ],
)
def test_entries_follow_the_declared_order(
    keys: tuple[str, ...], frames: str, slices: list[tuple[int, int]], size: int
) -> None:
    contract = robot_contract(keys, frames)
    assert [entry.key for entry in contract.entries] == list(keys)
    assert [(entry.start, entry.stop) for entry in contract.entries] == slices
    assert contract.size == size


def test_an_entry_carries_its_shape_and_bounds() -> None:
    drive_state, rays = robot_contract().entries
    assert (drive_state.shape, drive_state.low, drive_state.high) == ((3, 5), -1.0, 1.0)
    assert (rays.shape, rays.low, rays.high) == ((3, 272), 0.0, 1.0)


def test_latest_keeps_an_unstacked_entry_whole() -> None:
    assert [entry.shape for entry in wrapped(frames="latest").contract.entries] == [(2,), (1,)]


def test_a_box_observation_is_taken_whole_without_keys() -> None:
    image = Box(0, 255, (4, 3), np.uint8)
    contract = build_contract(image, Discrete(2), ObsContractConfig("whole"))
    assert [(entry.key, entry.shape) for entry in contract.entries] == [("observation", (4, 3))]
    assert contract.size == 12


def test_the_action_description_names_the_envs_own_bounds() -> None:
    box = robot_contract().action
    assert (box.kind, box.size, box.low, box.high) == ("box", 2, (-1.0, -2.0), (3.0, 2.0))
    discrete = build_contract(Box(0, 1, (1,)), Discrete(3, start=1), ObsContractConfig("test")).action
    assert (discrete.kind, discrete.size, discrete.low, discrete.high) == ("discrete", 3, (1,), (3,))


def test_to_dict_is_strict_json_with_null_for_an_infinite_bound() -> None:
    contract = build_contract(Box(-np.inf, 1.0, (2,)), ACCELERATIONS, ObsContractConfig("open"))
    tree = json.loads(json.dumps(contract.to_dict(), allow_nan=False))
    assert tree["entries"] == [{"key": "observation", "shape": [2], "low": None, "high": 1.0, "start": 0, "stop": 2}]
    assert tree["hash"] == contract.hash


# The hash


def test_the_hash_is_stable_and_ignores_the_name() -> None:
    renamed = build_contract(ROBOT_OBSERVATION, ACCELERATIONS, ObsContractConfig("other", ["drive_state", "rays"]))
    assert renamed.hash == robot_contract().hash
    assert len(renamed.hash) == 16
    assert int(renamed.hash, 16) >= 0


@pytest.mark.parametrize(
    ("action_space", "digest"),
    [(ACCELERATIONS, "7b79fcca293cf8dc"), (Discrete(3), "6106536590f6022c")],
    ids=["Box", "Discrete"],
)
def test_the_hash_of_a_checkpoint_stays_what_it_was(action_space: Space[Any], digest: str) -> None:
    config = ObsContractConfig("test", ["drive_state"])
    assert build_contract(ROBOT_OBSERVATION, action_space, config).hash == digest


def observation(**changes: Any) -> Dict:
    state: dict[str, Any] = {"low": -1.0, "high": 1.0, "shape": (3, 5), "dtype": np.float32} | changes
    return Dict({"drive_state": Box(**state), "rays": Box(0.0, 1.0, (3, 272), np.float32)})


one_bound_differs = np.ones((3, 5), np.float32)
one_bound_differs[1, 2] = 0.5


@pytest.mark.parametrize(
    ("space", "action_space", "keys", "frames"),
    [
        (observation(), ACCELERATIONS, ["rays", "drive_state"], "all"),
        (observation(), ACCELERATIONS, ["rays"], "all"),
        (observation(), ACCELERATIONS, ["drive_state", "rays"], "latest"),
        (observation(shape=(5, 3)), ACCELERATIONS, ["drive_state", "rays"], "all"),
        (observation(low=-one_bound_differs, shape=None), ACCELERATIONS, ["drive_state", "rays"], "all"),
        (observation(high=one_bound_differs, shape=None), ACCELERATIONS, ["drive_state", "rays"], "all"),
        (observation(dtype=np.float64), ACCELERATIONS, ["drive_state", "rays"], "all"),
        (observation(), Box(-1, 1, (2,)), ["drive_state", "rays"], "all"),
        (observation(), Discrete(2), ["drive_state", "rays"], "all"),
    ],
    ids=["order", "keys", "frames", "shape", "low", "high", "dtype", "action bounds", "action kind"],
)
def test_the_hash_changes_with_all_that_a_policy_depends_on(
    space: Dict, action_space: Space[Any], keys: list[str], frames: str
) -> None:
    changed = build_contract(space, action_space, ObsContractConfig("test", keys, frames))
    assert changed.hash != robot_contract().hash


# A user's mistakes


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ["drive_stat", "rays"],
            "obs_contract.keys: 'drive_stat' is not an observation of this env. Did you mean 'drive_state'? "
            "It has: drive_state, mode, rays",
        ),
        (["xyz"], "obs_contract.keys: 'xyz' is not an observation of this env. It has: drive_state, mode, rays"),
        (["rays", "rays"], "obs_contract.keys: 'rays' is given twice; name each key once"),
        (["mode"], "obs_contract.keys: 'mode' is Discrete(4); only Box entries fit into a vector"),
        ([], "obs_contract.keys: empty, but this env observes a Dict; name keys of: drive_state, mode, rays"),
    ],
)
def test_wrong_keys_are_refused_in_one_line(keys: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build_contract(ROBOT_OBSERVATION, ACCELERATIONS, ObsContractConfig("test", keys))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("space", "keys", "part"), [(Box(0, 1, (2,)), ["rays"], "['rays'], but"), (Discrete(4), [], "Discrete(4)")]
)
def test_keys_and_observation_space_must_agree(space: Space[Any], keys: list[str], part: str) -> None:
    with pytest.raises(UserError, match=r"^obs_contract\.keys") as caught:
        build_contract(space, ACCELERATIONS, ObsContractConfig("test", keys))
    assert part in str(caught.value)


def test_unknown_frames_are_refused() -> None:
    with pytest.raises(UserError, match=r"obs_contract\.frames: 'newest' is not allowed; use all or latest"):
        robot_contract(frames="newest")


@pytest.mark.parametrize(
    ("space", "part"),
    [
        (Box(-1, 1, (2, 2)), "one-dimensional float Box"),
        (Box(0, 9, (2,), np.int64), "one-dimensional float Box"),
        (gymnasium.spaces.MultiDiscrete([2, 2]), "one-dimensional float Box"),
        (Box(-np.inf, 1, (2,)), "every bound must be finite"),
    ],
)
def test_unsupported_actions_are_refused(space: Space[Any], part: str) -> None:
    with pytest.raises(UserError, match=part):
        build_contract(ROBOT_OBSERVATION, space, ObsContractConfig("test", ["rays"]))


# The wrapped env


@pytest.mark.filterwarnings("ignore:.*(different from the unwrapped|alternative render modes)")
@pytest.mark.parametrize("frames", ["all", "latest"])
def test_a_wrapped_dict_env_passes_gymnasiums_checker(frames: str) -> None:
    check_env(wrapped(frames=frames))


@pytest.mark.filterwarnings("ignore:.*(different from the unwrapped|For Box action|A Box observation space)")
def test_a_wrapped_registered_env_passes_gymnasiums_checker() -> None:
    check_env(ContractEnv(gymnasium.make("Pendulum-v1")), skip_render_check=True)


def test_a_config_and_keywords_wrap_alike() -> None:
    config = ObsContractConfig("custom", ["state", "goal"], "latest")
    assert ContractEnv(StackedEnv(), config).contract == wrapped(frames="latest").contract


@given(
    state=hnp.arrays(np.float32, (3, 2), elements=st.floats(-10, 10, width=32)),
    goal=hnp.arrays(np.float64, (1,), elements=st.floats(0, 1)),
    frames=st.sampled_from(["all", "latest"]),
    keys=st.permutations(["state", "goal"]),
)
def test_every_element_of_the_vector_is_its_entrys_element(state: Any, goal: Any, frames: str, keys: list[str]) -> None:
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


def test_latest_is_the_newest_row() -> None:
    inner = StackedEnv()
    env = wrapped(inner, frames="latest")
    env.reset(seed=0)
    vector = env.step(np.ones(2, np.float32))[0]
    np.testing.assert_array_equal(vector[:2], inner.rows[2])


def test_returned_vectors_share_no_memory() -> None:
    env = wrapped()
    vectors = [env.reset(seed=0)[0]] + [env.step(np.ones(2, np.float32))[0] for _ in range(3)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(vectors) for b in vectors[:i])


def test_the_vectors_space_has_the_bounds_of_every_element() -> None:
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
def test_the_action_map_is_onto_the_envs_bounds(bounds: list[float]) -> None:
    low, high = bounds
    space = Box(low, high, (1,), np.float32)
    rounding = 2 * float(np.finfo(np.float32).eps) * max(abs(low), abs(high))
    assert sent(space, float32(-1))[0] == pytest.approx(low, abs=rounding)
    assert sent(space, float32(0))[0] == pytest.approx(low / 2 + high / 2, abs=rounding)
    assert sent(space, float32(1))[0] == pytest.approx(high, abs=rounding)


@given(bounds=st.tuples(finite, finite).map(sorted), actions=st.tuples(unit, unit).map(sorted))
def test_the_action_map_is_monotone_and_stays_in_the_envs_space(bounds: list[float], actions: list[float]) -> None:
    space = Box(bounds[0], bounds[1], (1,), np.float32)
    lesser, greater = (sent(space, float32(action)) for action in actions)
    assert lesser[0] <= greater[0]
    assert space.contains(lesser)
    assert space.contains(greater)


def test_unit_bounds_leave_actions_as_they_are() -> None:
    action = float32(0.3, -0.7)
    np.testing.assert_array_equal(sent(Box(-1.0, 1.0, (2,), np.float32), action), action)


def test_actions_beyond_the_unit_box_are_clipped() -> None:
    np.testing.assert_array_equal(sent(ACCELERATIONS, float32(5, -5)), [3, -2])


def test_the_env_receives_its_own_dtype() -> None:
    space = Box(0.1, 0.7, (2,), np.float64)
    received = sent(space, float32(-1, 1))
    assert received.dtype == np.float64
    assert space.contains(received)


@pytest.mark.parametrize("start", [0, 1, -1])
def test_discrete_actions_are_counted_from_0(start: int) -> None:
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
        ({"goal": None}, "all", "goal: the observation lacks it; it has: state"),
        ({"state": np.zeros((2, 3))}, "all", "state: shape (2, 3); the observation space declares (3, 2)"),
        ({"goal": np.zeros(())}, "all", "goal: shape (); the observation space declares (1,)"),
        ({"goal": np.array(["near"])}, "all", "goal: dtype <U4 does not convert to float32"),
        ({"state": state_with(np.nan)}, "all", "state[2, 1] is nan; it must be finite and in [-10.0, 10.0]"),
        ({"state": state_with(np.inf)}, "latest", "state[-1, 1] is inf; it must be finite and in [-10.0, 10.0]"),
        ({"state": state_with(10.5)}, "all", "state[2, 1] is 10.5; it must be finite and in [-10.0, 10.0]"),
        ({"goal": np.array([-0.5])}, "all", "goal[0] is -0.5; it must be finite and in [0.0, 1.0]"),
    ],
)
def test_reset_refuses_an_observation_outside_its_space(
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
def test_step_refuses_what_reset_refuses(replacements: dict[str, Any], error: type[ContractError]) -> None:
    """And tells a single bad number, after which the next episode may be a good one, from all else."""
    inner = StackedEnv()
    env = wrapped(inner)
    env.reset(seed=0)
    inner.replacements = replacements
    with pytest.raises(ContractError) as caught:
        env.step(np.zeros(2, np.float32))
    assert type(caught.value) is error


def test_an_infinite_bound_takes_any_finite_number_and_no_other() -> None:
    inner = StackedEnv()
    inner.observation_space = Dict({"state": Box(-np.inf, np.inf, (3, 2), np.float32)})
    env = ContractEnv(inner, keys=["state"])
    inner.replacements = {"state": state_with(3e38), "goal": None}
    env.reset(seed=0)
    inner.replacements = {"state": state_with(np.inf), "goal": None}
    with pytest.raises(Fault, match="is inf"):
        env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("reward", [float("nan"), np.float32("inf")])
def test_step_refuses_a_reward_that_is_not_finite(reward: Any) -> None:
    inner = StackedEnv()
    inner.reward = reward
    env = wrapped(inner)
    env.reset(seed=0)
    with pytest.raises(ContractError, match=r"reward is (nan|inf)"):
        env.step(np.zeros(2, np.float32))


# Imports


def test_neither_ray_nor_torch_is_imported() -> None:
    code = "import sys, dreamer_exp.envs.contract; sys.exit(any(name in sys.modules for name in ('ray', 'torch')))"
    subprocess.run([sys.executable, "-c", code], check=True)
