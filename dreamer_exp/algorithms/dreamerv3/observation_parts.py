"""How the observation vector is divided among encoders, and the shapes of their convolutions, without torch.

The replay, env runners and policies hold one vector a step; encoder and decoder read each entry at its place.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dreamer_exp.algorithms.policy_values import is_count
from dreamer_exp.encoders import KINDS, LIDAR, VECTOR, fits_shape

if TYPE_CHECKING:  # policies are loaded without Gymnasium
    from dreamer_exp.envs.contract import ObservationContract

# danijar/dreamerv3, configs.yaml: `mults` of the convolutions; in each published size `depth` is units / 16
MULTIPLIERS = (2, 3, 4, 4)
UNITS_PER_DEPTH = 16
LEAST = 8  # the shortest axis that another convolution halves
PAIRS = 3  # neighbouring pairs of bearings that a convolution of stride 2 reads


@dataclass(frozen=True)
class Part:
    """One entry of the observation vector, and the kind of its encoder."""

    key: str
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Numbers of the entry."""
        return self.stop - self.start


@dataclass(frozen=True)
class LidarShape:
    """Convolutions over a circle of bearings.

    Attributes:
        frames: channels of the input, one for each stacked frame.
        lengths: bearings of the input, then of each convolution's output.
        channels: of the input, then of each convolution's output.
    """

    frames: int
    lengths: tuple[int, ...]
    channels: tuple[int, ...]

    @staticmethod
    def of(part: Part, units: int) -> "LidarShape":
        """Return the convolutions of an entry (bearings,) or (frames, bearings) in a network of this width."""
        frames, lengths = math.prod(part.shape[:-1]), [part.shape[-1]]
        while lengths[-1] >= LEAST and len(lengths) <= len(MULTIPLIERS):
            lengths.append(-(-lengths[-1] // 2))
        depth = max(1, units // UNITS_PER_DEPTH)
        channels = [frames, *(depth * multiplier for multiplier in MULTIPLIERS[: len(lengths) - 1])]
        return LidarShape(frames, tuple(lengths), tuple(channels))

    @property
    def tokens(self) -> int:
        """Width of the encoder's output."""
        return self.lengths[-1] * self.channels[-1]

    def encoder_weights(self) -> int:
        """Return the number of the encoder's parameters."""
        return sum((2 * PAIRS * inputs + 2) * outputs for inputs, outputs in pairwise(self.channels))

    def decoder_weights(self, units: int) -> int:
        """Return the number of the decoder's parameters behind its MLP."""
        first = (units + 1) * self.tokens + self.channels[-1]
        layers = pairwise(self.channels[::-1])
        return first + sum((PAIRS * inputs + 1) * 2 * outputs for inputs, outputs in layers) + sum(self.channels[1:-1])


def parts_of_contract(contract: "ObservationContract") -> tuple[Part, ...]:
    """Return the parts of a contract's vector; () if all are vectors, which one MLP reads together."""
    parts = tuple(Part(entry.key, entry.encoder, entry.shape, entry.start, entry.stop) for entry in contract.entries)
    return parts if any(part.kind != VECTOR for part in parts) else ()


def read_parts(trees: Sequence[Mapping[str, Any]] | None) -> tuple[Part, ...]:
    """Return the parts that `write_parts` described."""
    return tuple(Part(**{**tree, "shape": tuple(tree["shape"])}) for tree in trees or ())


def write_parts(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Return the parts as JSON values."""
    return [{**asdict(part), "shape": list(part.shape)} for part in parts]


def fits_parts(trees: Any) -> bool:
    """Return whether the `observation` of a policy.json is missing, or describes parts that fill a vector in turn."""
    if trees is None:
        return True
    return isinstance(trees, list) and bool(trees) and all(map(_fits, [{"stop": 0}, *trees], trees))


def _fits(before: Any, tree: Any) -> bool:
    if not isinstance(tree, dict) or set(tree) != {"key", "kind", "shape", "start", "stop"}:
        return False
    shape, start, stop = tree["shape"], tree["start"], tree["stop"]
    if not isinstance(shape, list) or not all(map(is_count, shape)) or not is_count(stop) or start != before["stop"]:
        return False
    is_kind = isinstance(tree["key"], str) and tree["kind"] in KINDS
    return is_kind and math.prod(shape) == stop - start and fits_shape(tree["kind"], tuple(shape))


def vector_size(parts: Iterable[Part]) -> int:
    """Return how many numbers the entries of kind `vector` have together."""
    return sum(part.size for part in parts if part.kind == VECTOR)


def lidar_shapes(parts: Iterable[Part], units: int) -> list[LidarShape]:
    """Return the convolutions of each entry of kind `lidar`."""
    return [LidarShape.of(part, units) for part in parts if part.kind == LIDAR]
