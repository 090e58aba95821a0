"""The observation contract: named Box observations become one flat float32 vector, actions become [-1, 1].

A contract is built once from the spaces of an environment; `ContractEnv` applies it. Its hash changes with everything
that a trained policy depends on, so that a checkpoint refuses an environment that doesn't fit.
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, SupportsFloat, TypeAlias

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.encoders import VECTOR
from dreamer_exp.envs.encoders import kinds_of
from dreamer_exp.envs.scaling import check_scaling
from dreamer_exp.scaling import NONE, scaling_of

Vector: TypeAlias = NDArray[np.float32]

SINGLE_KEY = "observation"  # key of the only entry if the observation is a Box
BYTE = "uint8"  # dtype of entries that the replay may keep as bytes
BOUNDS_TOLERANCE = 1e-4  # relative to the range; absolute if the range is infinite
MAX_REWARD = float(np.finfo(np.float32).max)
ENCODED = "Allowed are Box, and with env=gym Discrete, MultiBinary and Dicts of them"
CUSTOM = ObsContractConfig(name="custom")


class ContractError(Exception):
    """The environment left its own spaces, or returned a reward that isn't finite."""


class Fault(ContractError):
    """A single bad number, which the next episode may avoid; names the entry, the index, the value and the bounds."""


@dataclass(frozen=True)
class Entry:
    """One observation entry and its slice of the vector.

    `shape` is the shape after frame selection; `low` and `high` are the least and the greatest of its bounds in the
    vector. `observed_low` and `observed_high` are the bounds of each element before any scaling. `encoder` is the kind
    of its encoder, `dtype` that of its space.
    """

    key: str
    shape: tuple[int, ...]
    low: float
    high: float
    start: int
    stop: int
    observed_low: tuple[float, ...]
    observed_high: tuple[float, ...]
    encoder: str = VECTOR
    dtype: str = "float32"


@dataclass(frozen=True)
class Action:
    """The environment's action space: `size` is A for "box" and n for "discrete"; bounds are inclusive."""

    kind: str
    size: int
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class ObservationContract:
    """The observation vector of a policy (`size` float32 numbers in `entries`) and the space of its actions.

    `hash`: 16 hex digits over keys, order, shapes, dtypes, bounds of every element, frames, action bounds and, if the
    vector is scaled, the scaling, and every encoder that isn't `vector`.
    """

    name: str
    entries: tuple[Entry, ...]
    frames: str
    size: int
    action: Action
    hash: str
    scaling: str

    def to_observed(self, vectors: Vector) -> Vector:
        """Return vectors (..., size) as the environment's numbers; under scaling=metric, rays stay filtered."""
        scaling = scaling_of(self.scaling, {entry.key: entry.shape for entry in self.entries})
        return vectors if scaling is None else scaling.invert(vectors)

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as JSON values.

        An infinite bound is null. Where all elements of an entry have one observed bound, it is a number, not a list.
        """
        tree = asdict(self)
        for entry in tree["entries"]:
            entry.update({side: _finite_or_none(entry[side]) for side in ("low", "high")})
            for side in ("observed_low", "observed_high"):
                bounds = [_finite_or_none(bound) for bound in entry[side]]
                entry[side] = bounds[0] if len(set(bounds)) == 1 else bounds
        return tree


def _finite_or_none(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def build_contract(
    observation_space: Space[Any], action_space: Space[Any], config: ObsContractConfig
) -> ObservationContract:
    """Return the contract of an environment with these spaces.

    Raises:
        UserError: an unknown or repeated key, an entry that cannot be encoded, a space of size 0, unknown `frames` or
            `scaling`, an entry that the scaling doesn't know, an encoder that doesn't fit its entry, or actions that
            are neither Discrete nor a bounded one-dimensional float Box.
    """
    if config.frames not in ("all", "latest"):
        raise UserError(f"obs_contract.frames: {config.frames!r} is not allowed; use all or latest")
    boxes = _selected_boxes(observation_space, config)
    check_scaling(config.scaling, boxes)
    kinds = kinds_of(config.encoders, boxes)
    space, observed = flat_space(observation_space, config), _observed_space(boxes)
    action = _describe_action(action_space)
    entries: list[Entry] = []
    for key, box in boxes.items():
        start = entries[-1].stop if entries else 0
        part = slice(start, start + math.prod(box.shape))
        low, high = float(space.low[part].min()), float(space.high[part].max())
        bounds = tuple(observed.low[part].tolist()), tuple(observed.high[part].tolist())
        entries.append(Entry(key, box.shape, low, high, part.start, part.stop, *bounds, kinds[key], str(box.dtype)))
    digest = _hash(boxes, config, kinds, action, str(action_space.dtype))
    return ObservationContract(
        config.name, tuple(entries), config.frames, entries[-1].stop, action, digest, config.scaling
    )


class ContractEnv(gymnasium.Wrapper[Vector, Any, Any, Any], RecordConstructorArgs):
    """An environment behind its contract: observations (size,) float32, Box actions (A,) float32 in [-1, 1].

    Keyword arguments replace fields of `config`, so that a script may write
    `ContractEnv(env, keys=["drive_state", "rays"], frames="latest")`. Discrete actions count from 0, whatever the first
    action of the environment is.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], config: ObsContractConfig = CUSTOM, **changes: Any) -> None:
        """Build the contract; raise UserError as `build_contract` does."""
        RecordConstructorArgs.__init__(self, config=config, **changes)
        gymnasium.Wrapper.__init__(self, env)
        config = replace(config, **changes)
        self.contract = build_contract(env.observation_space, env.action_space, config)
        self._raw_shapes = [box.shape for box in _raw_boxes(env.observation_space, config.keys).values()]
        self._is_dict = bool(config.keys)
        self.observation_space = flat_space(env.observation_space, config)
        self._scaling = scaling_of(config.scaling, {entry.key: entry.shape for entry in self.contract.entries})
        observed = _observed_space(_selected_boxes(env.observation_space, config))
        self._low, self._high = observed.low, observed.high
        self._least, self._greatest = _tolerated(observed)
        self._of_bytes = [entry for entry in self.contract.entries if entry.dtype == BYTE]
        self._set_action_map(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Return the first observation, (size,), checked as in `step`, and its info."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._flatten(observation), info

    def step(self, action: Any) -> tuple[Vector, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment.

        Raises:
            Fault: a number isn't finite or is out of bounds, or one of an entry of uint8 is not an integer.
            ContractError: a wrong shape or type.
        """
        observation, reward, terminated, truncated, info = self.env.step(self._to_env(action))
        return self._flatten(observation), read_reward(reward), terminated, truncated, info

    def _flatten(self, observation: Any) -> Vector:
        entries = observation if self._is_dict else {SINGLE_KEY: observation}
        vector = np.empty(self.contract.size, np.float32)  # a new array in each step: RLlib keeps a reference
        for entry, raw_shape in zip(self.contract.entries, self._raw_shapes, strict=True):
            value = _numeric(entries, entry.key, raw_shape)
            frames = value if raw_shape == entry.shape else value[-1]
            vector[entry.start : entry.stop] = frames.reshape(-1)
        inside = (vector >= self._least) & (vector <= self._greatest)  # False for NaN
        if not inside.all():
            raise self._fault(vector, int(inside.argmin()))
        for entry in self._of_bytes:
            values = vector[entry.start : entry.stop]
            if (fractions := np.rint(values) != values).any():
                raise self._fault(vector, entry.start + int(fractions.argmax()))
        return vector if self._scaling is None else self._scaling.apply(vector)

    def _set_action_map(self, space: Space[Any]) -> None:
        if not isinstance(space, Box):
            self._first = int(self.contract.action.low[0])
            self.action_space = Discrete(self.contract.action.size)
            return
        self._action_low, self._action_high = space.low, space.high
        # halved first: high - low overflows if the bounds are the largest float32 numbers
        self._centre = (space.low / 2 + space.high / 2).astype(np.float32)
        self._half_range = (space.high / 2 - space.low / 2).astype(np.float32)
        self.action_space = Box(-1.0, 1.0, space.shape, np.float32)

    def _to_env(self, action: Any) -> Any:
        if self.contract.action.kind == "discrete":
            return action + self._first
        scaled = self._centre + self._half_range * np.asarray(action, np.float32)
        clipped: NDArray[Any] = np.minimum(np.maximum(scaled, self._action_low), self._action_high)
        return clipped.astype(self._action_low.dtype, copy=False)

    def _fault(self, vector: Vector, position: int) -> Fault:
        at = next(i for i, entry in enumerate(self.contract.entries) if position < entry.stop)
        entry, raw_shape = self.contract.entries[at], self._raw_shapes[at]
        index = [int(i) for i in np.unravel_index(position - entry.start, entry.shape)]
        if raw_shape != entry.shape:
            index = [-1, *index]
        allowed = f"an integer, as {BYTE}," if entry.dtype == BYTE else "finite"
        low, high = self._low[position], self._high[position]
        return Fault(f"{entry.key}{index} is {vector[position]}; it must be {allowed} and in [{low}, {high}]")


def read_reward(reward: Any) -> float:
    """Return a number, or an array's or tensor's only element, as a float; raise Fault if float32 cannot hold it."""
    value = reward if type(reward) is float else _only_element(reward)
    if not math.isfinite(value):
        raise Fault(f"reward is {value}; the env must return a finite number")
    if abs(value) > MAX_REWARD:
        raise Fault(f"reward is {value}; the env must return a number that float32 can hold, up to {MAX_REWARD:.3g}")
    return value


def _only_element(reward: Any) -> float:
    if hasattr(reward, "__float__") or isinstance(reward, np.ndarray):
        try:
            return float(reward.item() if isinstance(reward, np.ndarray) else reward)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # several elements, a complex number, 10**400
            pass
    raise Fault(f"reward is {reprlib.repr(reward)} ({type(reward).__name__}); the env must return one number")


def flat_space(observation_space: Space[Any], config: ObsContractConfig) -> Box:
    """Return the space of the vector: Box (size,) float32 with the bounds of every element, scaled as the vector is."""
    boxes = _selected_boxes(observation_space, config)
    observed = _observed_space(boxes)
    scaling = scaling_of(config.scaling, {key: box.shape for key, box in boxes.items()})
    if scaling is None:
        return observed
    # every step of the scaling increases with each of its numbers, so bounds become bounds
    return _vector_box(scaling.apply(observed.low), scaling.apply(observed.high))


def _observed_space(boxes: dict[str, Box]) -> Box:
    low = np.concatenate([box.low.reshape(-1).astype(np.float32) for box in boxes.values()])
    high = np.concatenate([box.high.reshape(-1).astype(np.float32) for box in boxes.values()])
    return _vector_box(low, high)


def _vector_box(low: Vector, high: Vector) -> Box:
    """Return Box (size,) float32 with a random generator of its own."""
    return copy(_shared_box(low.tobytes(), high.tobytes()))


@lru_cache(maxsize=16)
def _shared_box(low: bytes, high: bytes) -> Box:
    """Return the Box of these bounds; it is not sampled from.

    Gymnasium prints all bounds of a new Box into a text, which takes longer than the rest of an environment.
    """
    return Box(np.frombuffer(low, np.float32).copy(), np.frombuffer(high, np.float32).copy(), dtype=np.float32)


def _tolerated(space: Box) -> tuple[Vector, Vector]:
    """Return the least and the greatest allowed value of each element, (size,): its bounds with a tolerance, finite."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    tolerance = np.where(np.isfinite(high - low), BOUNDS_TOLERANCE * (high - low), BOUNDS_TOLERANCE)
    largest = np.finfo(np.float32).max
    return (low - tolerance).clip(-largest).astype(np.float32), (high + tolerance).clip(max=largest).astype(np.float32)


def _selected_boxes(space: Space[Any], config: ObsContractConfig) -> dict[str, Box]:
    boxes = _raw_boxes(space, config.keys)
    for key, box in boxes.items():
        if 0 in box.shape:
            raise UserError(f"env: the observation space of {key!r} is {box}, which holds no number; give it one")
    if config.frames == "all":
        return boxes
    return {key: _last_row(box) if len(box.shape) >= 2 else box for key, box in boxes.items()}


def _last_row(box: Box) -> Box:
    return Box(box.low[-1], box.high[-1], dtype=box.low.dtype.type)


def _raw_boxes(space: Space[Any], keys: Sequence[str]) -> dict[str, Box]:
    if not keys:
        return {SINGLE_KEY: _single_box(space)}
    if not isinstance(space, Dict):
        raise UserError(f"obs_contract.keys={list(keys)}, but this env has no Dict to observe: use obs_contract=vector")
    for key in keys:
        if list(keys).count(key) > 1:
            raise UserError(f"obs_contract.keys: {key!r} is given twice; name each key once")
    return {key: _box_at(space, key) for key in keys}


def _single_box(space: Space[Any]) -> Box:
    if isinstance(space, Dict):
        raise UserError(f"obs_contract.keys: empty, but this env observes a Dict; name keys of: {', '.join(space)}")
    if not isinstance(space, Box):
        raise UserError(f"obs_contract.keys: empty, and the env observes {space}, which cannot be encoded. {ENCODED}.")
    return space


def _box_at(space: Dict, key: str) -> Box:
    if key not in space.spaces:
        hint = nearest(key, list(space.spaces))
        raise UserError(
            f"obs_contract.keys: {key!r} is not an observation of this env.{hint} It has: {', '.join(space)}"
        )
    box = space[key]
    if not isinstance(box, Box):
        raise UserError(f"obs_contract.keys: {key!r} is {box}, which cannot be encoded; leave it out. {ENCODED}.")
    return box


def _describe_action(space: Space[Any]) -> Action:
    if isinstance(space, Box) and 0 in space.shape:
        raise UserError(f"env: the action space is {space}, which holds no number; give it one")
    if isinstance(space, Discrete):
        first, n = int(space.start), int(space.n)
        return Action("discrete", n, (first,), (first + n - 1,))
    if not isinstance(space, Box) or len(space.shape) != 1 or space.low.dtype.kind != "f":
        raise UserError(f"env: the action space is {space}; allowed are Discrete and a one-dimensional float Box")
    if not space.is_bounded():
        raise UserError(f"env: the action space is {space}; every bound must be finite, to map [-1, 1] onto it")
    return Action("box", space.shape[0], tuple(space.low.tolist()), tuple(space.high.tolist()))


def _hash(
    boxes: dict[str, Box], config: ObsContractConfig, kinds: dict[str, str], action: Action, action_dtype: str
) -> str:
    entries = [
        {"key": key, "shape": box.shape, "dtype": str(box.dtype), "low": box.low.tolist(), "high": box.high.tolist()}
        for key, box in boxes.items()
    ]
    tree = {"entries": entries, "frames": config.frames, "action": asdict(action), "action_dtype": action_dtype}
    if config.scaling != NONE:  # vectors that aren't scaled keep the hash of earlier releases
        tree["scaling"] = config.scaling
    if encoders := {key: kind for key, kind in kinds.items() if kind != VECTOR}:
        tree["encoders"] = encoders
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def policy_spaces(observation_size: int, action_kind: str, action_size: int) -> tuple[Box, Space[Any]]:
    """Return the spaces of a policy: observations (observation_size,), and Box actions in [-1, 1] or Discrete ones."""
    observation = Box(-np.inf, np.inf, (observation_size,), np.float32)
    if action_kind == "discrete":
        return observation, Discrete(action_size)
    return observation, Box(-1.0, 1.0, (action_size,), np.float32)


def _numeric(entries: Any, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if key not in entries:
        raise ContractError(f"{key}: missing from the observation, which has: {', '.join(entries)}")
    value = np.asarray(entries[key])
    if value.shape != shape:
        raise ContractError(f"{key}: shape {value.shape}; the observation space declares {shape}")
    if value.dtype.kind not in "fiub":
        raise ContractError(f"{key}: dtype {value.dtype} does not convert to float32")
    return value
