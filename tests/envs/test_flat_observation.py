"""env=gym with nested Dicts and Discrete entries."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Space, Text

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs.contract import ContractEnv, Fault
from dreamer_exp.envs.gym.flat_observation import FlatObservation, flattened


class Still(gymnasium.Env[Any, Any]):
    """An environment that observes one thing."""

    action_space = Discrete(2)

    def __init__(self, space: Space[Any], observation: Any) -> None:
        self.observation_space, self.seen = space, observation

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        return self.seen, {}


SPACE = Dict(
    {
        "camera": Dict({"rgb": Box(0, 255, (8, 9, 3), np.uint8), "on": MultiBinary(2)}),
        "gear": Discrete(3, start=-1),
        "mission": Text(8),
    }
)
SEEN = {"camera": {"rgb": np.full((8, 9, 3), 7, np.uint8), "on": np.array([0, 1])}, "gear": -1, "mission": "go"}


def contract_env(keys: list[str], encoders: dict[str, str] | None = None, **changes: Any) -> ContractEnv:
    return ContractEnv(flattened(Still(SPACE, SEEN | changes)), ObsContractConfig("own", keys, encoders=encoders or {}))


def test_entries_are_read_by_path_with_one_hot_numbers() -> None:
    env = contract_env(["gear", "camera/on", "camera/rgb"], {"camera/rgb": "auto"})
    assert env.reset()[0].tolist() == [1, 0, 0, 0, 1, *[7] * 216]
    assert [entry.encoder for entry in env.contract.entries] == ["vector", "vector", "image"]


def test_an_entry_that_cannot_be_encoded_is_refused_if_it_is_read() -> None:
    with pytest.raises(UserError, match=r"'mission' is Text\(1, 8, .*\), which cannot be encoded; leave it out"):
        contract_env(["gear", "mission"])


def test_a_number_outside_of_a_discrete_entry_is_a_fault() -> None:
    with pytest.raises(Fault, match=r"gear is 2; it must be in Discrete\(3, start=-1\)"):
        contract_env(["gear"], gear=2).reset()


def test_one_discrete_observation_is_a_one_hot_vector() -> None:
    env = ContractEnv(flattened(Still(Discrete(4), 2)), ObsContractConfig("vector"))
    assert env.reset()[0].tolist() == [0, 0, 1, 0]


def test_boxes_stay_as_they_are() -> None:
    env = Still(Dict({"pose": Box(-1, 1, (2,))}), {})
    assert not isinstance(flattened(env), FlatObservation)
