"""Observations of a Gymnasium environment as a Dict without nesting, with one-hot vectors for Discrete entries."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Space

from dreamer_exp.envs.contract import SINGLE_KEY, Fault

SEPARATOR = "/"  # between the keys of nested Dicts


class FlatObservation(gymnasium.ObservationWrapper[Any, Any, Any]):
    """An environment whose entries have paths as keys, "camera/rgb".

    Discrete(n) becomes a one-hot Box (n,), and MultiBinary a Box of 0 and 1. Other entries stay what they are; the
    contract refuses them if it reads them.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        self._entries = _entries(space)
        spaces = {key: _as_box(entry) for key, entry in self._entries.items()}
        self.observation_space = Dict(spaces) if isinstance(space, Dict) else spaces[SINGLE_KEY]

    def observation(self, observation: Any) -> Any:
        """Return the observation with paths as keys.

        Raises:
            Fault: the value of a Discrete entry is outside of it.
        """
        if not isinstance(self.observation_space, Dict):
            return _encoded(SINGLE_KEY, self._entries[SINGLE_KEY], observation)
        found = _values(observation)
        return {key: _encoded(key, self._entries[key], value) for key, value in found.items() if key in self._entries}


def flattened(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return the environment, with flat observations if it observes more than Boxes in one Dict."""
    space = env.observation_space
    parts = list(space.values()) if isinstance(space, Dict) else [space]
    return FlatObservation(env) if any(isinstance(part, (Dict, Discrete, MultiBinary)) for part in parts) else env


def _entries(space: Space[Any], path: str = "") -> dict[str, Space[Any]]:
    if not isinstance(space, Dict):
        return {path or SINGLE_KEY: space}
    below = (_entries(part, f"{path}{SEPARATOR}{key}" if path else str(key)) for key, part in space.items())
    return {key: part for parts in below for key, part in parts.items()}


def _values(observation: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(observation, Mapping):
        return {path: observation}
    below = (_values(part, f"{path}{SEPARATOR}{key}" if path else str(key)) for key, part in observation.items())
    return {key: value for values in below for key, value in values.items()}


def _as_box(space: Space[Any]) -> Space[Any]:
    if isinstance(space, Discrete):
        return Box(0.0, 1.0, (int(space.n),), np.float32)
    return Box(0.0, 1.0, space.shape, np.float32) if isinstance(space, MultiBinary) else space


def _encoded(key: str, space: Space[Any], value: Any) -> Any:
    if not isinstance(space, Discrete):
        return value
    if not space.contains(value):
        raise Fault(f"{key} is {value!r}; it must be in {space}")
    one_hot = np.zeros(int(space.n), np.float32)
    one_hot[int(value) - int(space.start)] = 1.0
    return one_hot
