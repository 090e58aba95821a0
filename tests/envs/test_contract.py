"""The observation contract: the entries of the vector, their order, the actions, and the hash."""

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from stacked_env import ACCELERATIONS, wrapped

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ObservationContract, build_contract

ROBOT_OBSERVATION = Dict(
    {
        "drive_state": Box(-1.0, 1.0, (3, 5), np.float32),
        "rays": Box(0.0, 1.0, (3, 272), np.float32),
        "mode": Discrete(4),
    }
)


def robot_contract(keys: tuple[str, ...] = ("drive_state", "rays"), frames: str = "all") -> ObservationContract:
    return build_contract(ROBOT_OBSERVATION, ACCELERATIONS, ObsContractConfig("test", list(keys), frames))


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
def test_entries_have_the_declared_order(
    keys: tuple[str, ...], frames: str, slices: list[tuple[int, int]], size: int
) -> None:
    contract = robot_contract(keys, frames)
    assert [entry.key for entry in contract.entries] == list(keys)
    assert [(entry.start, entry.stop) for entry in contract.entries] == slices
    assert contract.size == size


def test_entry_has_shape_and_bounds() -> None:
    drive_state, rays = robot_contract().entries
    assert (drive_state.shape, drive_state.low, drive_state.high) == ((3, 5), -1.0, 1.0)
    assert (rays.shape, rays.low, rays.high) == ((3, 272), 0.0, 1.0)


def test_latest_frames_keep_unstacked_entries_complete() -> None:
    assert [entry.shape for entry in wrapped(frames="latest").contract.entries] == [(2,), (1,)]


def test_box_observation_is_one_entry_without_keys() -> None:
    image = Box(0, 255, (4, 3), np.uint8)
    contract = build_contract(image, Discrete(2), ObsContractConfig("image"))
    assert [(entry.key, entry.shape) for entry in contract.entries] == [("observation", (4, 3))]
    assert contract.size == 12


def test_action_has_the_bounds_of_the_environment() -> None:
    box = robot_contract().action
    assert (box.kind, box.size, box.low, box.high) == ("box", 2, (-1.0, -2.0), (3.0, 2.0))
    discrete = build_contract(Box(0, 1, (1,)), Discrete(3, start=1), ObsContractConfig("test")).action
    assert (discrete.kind, discrete.size, discrete.low, discrete.high) == ("discrete", 3, (1,), (3,))


def test_to_dict_is_strict_json_with_null_for_infinite_bounds() -> None:
    contract = build_contract(Box(-np.inf, 1.0, (2,)), ACCELERATIONS, ObsContractConfig("open"))
    tree = json.loads(json.dumps(contract.to_dict(), allow_nan=False))
    places = {"key": "observation", "shape": [2], "start": 0, "stop": 2, "encoder": "vector", "dtype": "float32"}
    bounds = {"low": None, "high": 1.0, "observed_low": None, "observed_high": 1.0}
    assert tree["entries"] == [{**places, **bounds}]
    assert tree["hash"] == contract.hash


# The hash


def test_hash_is_stable_and_ignores_the_name() -> None:
    renamed = build_contract(ROBOT_OBSERVATION, ACCELERATIONS, ObsContractConfig("other", ["drive_state", "rays"]))
    assert renamed.hash == robot_contract().hash
    assert len(renamed.hash) == 16
    assert int(renamed.hash, 16) >= 0


def test_environments_share_the_bounds_and_no_generator() -> None:
    first, second = wrapped().observation_space, wrapped().observation_space
    assert isinstance(first, Box)
    assert isinstance(second, Box)
    assert first == second
    assert first.low is second.low  # it takes milliseconds to make a large Box
    first.seed(1)
    second.seed(1)
    drawn = first.sample()
    assert np.array_equal(drawn, second.sample())


@pytest.mark.parametrize(
    ("action_space", "digest"),
    [(ACCELERATIONS, "7b79fcca293cf8dc"), (Discrete(3), "6106536590f6022c")],
    ids=["Box", "Discrete"],
)
def test_hash_of_released_checkpoints_is_unchanged(action_space: Space[Any], digest: str) -> None:
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
def test_hash_changes_with_everything_that_a_policy_depends_on(
    space: Dict, action_space: Space[Any], keys: list[str], frames: str
) -> None:
    changed = build_contract(space, action_space, ObsContractConfig("test", keys, frames))
    assert changed.hash != robot_contract().hash


# Mistakes of a user


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
        (
            ["mode"],
            "obs_contract.keys: 'mode' is Discrete(4), which cannot be encoded; leave it out. "
            "Allowed are Box, and with env=gym Discrete, MultiBinary and Dicts of them.",
        ),
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
