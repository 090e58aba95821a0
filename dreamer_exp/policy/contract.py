"""The observation contract of a policy file, applied to what sensors measure, with numpy alone.

It is the side of `envs/contract.py` that a policy needs: a raw observation becomes the vector that the network was
trained on, and an action in [-1, 1] becomes the environment's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.policy_values import is_count
from dreamer_exp.config.errors import UserError
from dreamer_exp.scaling import METRIC, NONE, scaling_of

Vector: TypeAlias = NDArray[np.float32]

SINGLE_KEY = "observation"  # key of the only entry if the observation is an array
BOUNDS_TOLERANCE = 1e-4  # relative to the range; absolute if the range is infinite
MAX_AXES = 32  # of an entry


class ObservationError(ValueError):
    """An observation that does not fit the policy; the message names the entry, what it has and what is needed."""


@dataclass(frozen=True)
class Entry:
    """One observation entry: its shape after the selection of frames, and its place in the vector."""

    key: str
    shape: tuple[int, ...]
    place: slice


class PolicyContract:
    """Observations and actions of a policy.

    Args:
        tree: what `ObservationContract.to_dict` returns, or an earlier release's without the bounds of each element.

    Attributes:
        keys: the entries that are read, in the order of the vector.
        size: O, numbers of the vector.
        low: least value of each action (A,), or the first Discrete one.
        high: greatest value of each action (A,), or the last Discrete one.
        hash: of the contract.
        bounds: the least and the greatest value of each observed number, (O,) each.

    Raises:
        KeyError, TypeError, ValueError: the tree is not that of a contract. Nothing larger than `size` is made.
    """

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.size, self.hash, self.scaling = tree["size"], str(tree["hash"]), str(tree.get("scaling", NONE))
        if not is_count(self.size):
            raise ValueError("size is not a whole number of at least 1")
        self.entries = tuple(_entry(entry, self.size) for entry in tree["entries"])
        self.keys = tuple(entry.key for entry in self.entries)
        self.latest = tree["frames"] == "latest"
        action = tree["action"]
        self.discrete, self.action_size = action["kind"] == "discrete", action["size"]
        if not is_count(self.action_size):
            raise ValueError("the number of actions is not a whole number of at least 1")
        self.low, self.high = (np.array(action[side], np.float32) for side in ("low", "high"))
        ends = [0, *(entry.place.stop for entry in self.entries)]
        if [entry.place.start for entry in self.entries] != ends[:-1] or ends[-1] != self.size:
            raise ValueError("its entries do not make its vector")
        bounds = (1 if self.discrete else self.action_size,)
        if (self.low.shape, self.high.shape) != (bounds, bounds):
            raise ValueError("the number of action bounds differs from that of actions")
        if not (np.isfinite([self.low, self.high]).all() and (self.low <= self.high).all()):
            raise ValueError("the bounds of the actions are no range")
        if self.scaling not in (NONE, METRIC):
            raise ValueError("unknown scaling")
        self._scaling = scaling_of(self.scaling, {entry.key: entry.shape for entry in self.entries})
        if self._scaling is not None and self._scaling.factor.shape != (self.size,):
            raise ValueError("the scaling does not know its entries")
        self.bounds = self._bounds(tree["entries"])
        self._least, self._greatest = _tolerated(*self.bounds)
        # halved first: high - low overflows if the bounds are the largest float32 numbers
        self._centre = (self.low / 2 + self.high / 2).astype(np.float32)
        self._half_range = (self.high / 2 - self.low / 2).astype(np.float32)

    def vectors(self, observation: Any, robots: int | None) -> Vector:
        """Return the network's vectors (N, O) for a raw observation, checked as `ContractEnv` checks it.

        Args:
            observation: a mapping with an array for each of `keys`, or a vector that `ContractEnv` returned; with a
                leading axis N if `robots` is N. If the environment observes one array, that array.
            robots: N, or None for one robot without a leading axis.

        Raises:
            ObservationError: a key is missing; a shape, dtype or number of robots differs; or a number is not finite
                or out of bounds.
        """
        lead = () if robots is None else (robots,)
        if isinstance(observation, Mapping):
            return self._flatten(observation, lead)
        if self.keys == (SINGLE_KEY,):
            array = np.asarray(observation)
            if len(self.entries[0].shape) == 1 or array.shape != (*lead, self.size):
                return self._flatten({SINGLE_KEY: array}, lead)
        return finite_vectors(observation, lead, self.size)

    def observed(self, observation: Any, robots: int | None) -> Vector:
        """Return the environment's numbers (N, O) of a raw observation, checked as in `vectors`, without scaling."""
        entries = observation if isinstance(observation, Mapping) else {SINGLE_KEY: np.asarray(observation)}
        return np.atleast_2d(self._checked(entries, () if robots is None else (robots,)))

    def to_robot(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the environment's actions for those of the network (N, A) in [-1, 1], or integers (N,)."""
        if self.discrete:
            return actions + int(self.low[0])
        scaled = self._centre + self._half_range * actions
        clipped: NDArray[Any] = np.minimum(np.maximum(scaled, self.low), self.high)
        return clipped

    def from_robot(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return Box actions in [-1, 1] for those of the environment; a number that cannot vary is 0."""
        half_range = np.where(self._half_range > 0, self._half_range, np.inf)
        scaled: NDArray[Any] = np.clip((actions - self._centre) / half_range, -1.0, 1.0)
        return scaled

    def to_observed(self, vectors: Vector) -> Vector:
        """Return the network's vectors (..., O) as the environment's numbers; filtered rays stay filtered."""
        return vectors if self._scaling is None else self._scaling.invert(vectors)

    def _flatten(self, observation: Mapping[str, Any], lead: tuple[int, ...]) -> Vector:
        vectors = self._checked(observation, lead)
        return np.atleast_2d(vectors if self._scaling is None else self._scaling.apply(vectors))

    def _checked(self, observation: Mapping[str, Any], lead: tuple[int, ...]) -> Vector:
        vectors = np.empty((*lead, self.size), np.float32)
        for entry in self.entries:
            value = self._frames(_numeric(observation, entry.key), entry, lead)
            vectors[..., entry.place] = value.reshape(*lead, -1)
        inside = (vectors >= self._least) & (vectors <= self._greatest)  # False for NaN
        if not inside.all():
            raise self._fault(vectors, tuple(int(i) for i in np.argwhere(~inside)[0]))
        return vectors

    def _bounds(self, trees: Sequence[Mapping[str, Any]]) -> tuple[Vector, Vector]:
        """Return the least and the greatest value of each observed number (O,).

        Files of earlier releases have one pair for an entry, of the scaled vector: then columns with different bounds
        or factors are checked less strictly.
        """
        low, high = np.empty(self.size, np.float32), np.empty(self.size, np.float32)
        is_observed = all("observed_low" in tree for tree in trees)
        names = ("observed_low", "observed_high") if is_observed else ("low", "high")
        for entry, tree in zip(self.entries, trees, strict=True):
            count = entry.place.stop - entry.place.start
            low[entry.place] = _numbers(tree[names[0]], -math.inf, count)
            high[entry.place] = _numbers(tree[names[1]], math.inf, count)
        if not (low <= high).all():
            raise ValueError("an entry's bounds are no range")
        if self._scaling is None or is_observed:
            return low, high
        return self._scaling.invert(low), self._scaling.invert(high)

    def _frames(self, value: NDArray[Any], entry: Entry, lead: tuple[int, ...]) -> NDArray[Any]:
        """Return the entry (*lead, *shape), of a stack of frames the last one."""
        if value.shape == (*lead, *entry.shape):
            return value
        axis = len(lead)
        if self.latest and value.ndim == axis + 1 + len(entry.shape) and value.shape[axis] > 0:
            last: NDArray[Any] = value.take(-1, axis)
            if last.shape == (*lead, *entry.shape):
                return last
        raise _wrong_shape(entry.key, value.shape, entry.shape, lead)

    def _fault(self, vectors: Vector, position: tuple[int, ...]) -> ObservationError:
        at = position[-1]
        entry = next(entry for entry in self.entries if at < entry.place.stop)
        index = [*position[:-1], *(int(i) for i in np.unravel_index(at - entry.place.start, entry.shape))]
        low, high = (side[at] for side in self.bounds)
        return ObservationError(f"{entry.key}{index} is {vectors[position]}; it must be finite and in [{low}, {high}]")


def read_contract(tree: Any, where: str) -> PolicyContract:
    """Return the contract in a file, whose `size` was compared with the network; raise UserError if it is not one."""
    try:
        return PolicyContract(tree)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: its contract describes no observation; name another checkpoint.") from error


def finite_vectors(observation: Any, lead: tuple[int, ...], size: int) -> Vector:
    """Return vectors (N, O); raise ObservationError for another shape or dtype, or a number that is not finite."""
    value = _as_numbers(observation, "the observation vector")
    if value.shape != (*lead, size):
        raise _wrong_shape("the observation vector", value.shape, (size,), lead)
    vectors = value.astype(np.float32, copy=False)
    if not np.isfinite(vectors).all():
        position = np.argwhere(~np.isfinite(vectors))[0].tolist()
        raise ObservationError(f"the observation vector{position} is {vectors[tuple(position)]}; it must be finite")
    return np.atleast_2d(vectors)


def _entry(tree: Mapping[str, Any], size: int) -> Entry:
    """Return an entry of a vector of `size` numbers."""
    shape, start, stop = tree["shape"], tree["start"], tree["stop"]
    if type(start) is not int or not is_count(stop) or not 0 <= start < stop <= size:
        raise ValueError("an entry is not within the vector")
    if len(shape) > MAX_AXES or not all(is_count(length) and length <= size for length in shape):
        raise ValueError("an entry's shape is not a list of whole numbers of at least 1")
    if math.prod(shape) != stop - start:
        raise ValueError("an entry does not fill its place")
    return Entry(str(tree["key"]), tuple(shape), slice(start, stop))


def _numbers(bounds: Any, infinite: float, count: int) -> Any:
    """Return the bound of an entry, or a bound for each of its numbers, where null is infinite."""
    if isinstance(bounds, list):
        if len(bounds) != count:
            raise ValueError("the number of an entry's bounds differs from that of its numbers")
        return [infinite if bound is None else bound for bound in bounds]
    return infinite if bounds is None else bounds


def _tolerated(least: Vector, greatest: Vector) -> tuple[Vector, Vector]:
    """Return the least and the greatest allowed value of each number (O,): its bounds with a tolerance, finite."""
    low, high = least.astype(np.float64), greatest.astype(np.float64)
    tolerance = np.where(np.isfinite(high - low), BOUNDS_TOLERANCE * (high - low), BOUNDS_TOLERANCE)
    largest = np.finfo(np.float32).max
    return (low - tolerance).clip(-largest).astype(np.float32), (high + tolerance).clip(max=largest).astype(np.float32)


def _numeric(observation: Mapping[str, Any], key: str) -> NDArray[Any]:
    if key not in observation:
        raise ObservationError(f"{key}: missing from the observation, which has: {', '.join(map(str, observation))}")
    return _as_numbers(observation[key], key)


def _as_numbers(value: Any, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:  # rows of different lengths
        raise ObservationError(f"{name}: not an array of numbers ({error})") from error
    if array.dtype.kind not in "fiub":
        raise ObservationError(f"{name}: dtype {array.dtype} does not convert to float32")
    return array


def _wrong_shape(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...], lead: tuple[int, ...]
) -> ObservationError:
    if lead and shape[1:] == expected:
        return ObservationError(f"{name}: {shape[0]} robots, but the policy was loaded for robots={lead[0]}")
    hint = "" if lead or shape[1:] != expected else "; for several robots, load it with robots=N"
    return ObservationError(f"{name}: shape {shape}; the policy needs {(*lead, *expected)}{hint}")
