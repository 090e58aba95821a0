"""How the observation vector is divided among encoders, and the shapes of their convolutions, without torch.

The replay, env runners and policies hold one vector a step; encoder and decoder read each entry at its place.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dreamer_exp.algorithms.policy_values import is_count
from dreamer_exp.encoders import (
    BERNOULLI,
    IMAGE,
    KINDS,
    LEAST,
    LIDAR,
    PIXELS,
    SQUARES,
    VECTOR,
    fits_shape,
    loss_of,
)
from dreamer_exp.scaling import NONE

if TYPE_CHECKING:  # policies are loaded without Gymnasium
    from dreamer_exp.envs.contract import ObservationContract

# danijar/dreamerv3, configs.yaml: `mults` of the convolutions; in each published size `depth` is units / 16
MULTIPLIERS = (2, 3, 4, 4)
OF_LIDAR = (2, 4)
UNITS_PER_DEPTH = 16
KERNEL = 5  # cells along each side of a grid that a convolution of stride 2 reads
GROUP, GROUPS = 4, 3  # bearings in a group, the stride; neighbouring groups that a convolution reads

LATER = ("half", "uint8")  # fields that policies of earlier releases lack
LOSSES = (SQUARES, PIXELS, BERNOULLI)
HALF_BOUND = 4.0  # within it, float16 is exact to .001


@dataclass(frozen=True)
class Part:
    """One entry of the observation vector, the kind of its encoder, and the loss of its decoder.

    With `half`, the replay keeps it as float16; with `uint8`, its numbers are of that dtype, and kept as such.
    """

    key: str
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int
    loss: str = SQUARES
    half: bool = False
    uint8: bool = False

    @property
    def size(self) -> int:
        """Numbers of the entry."""
        return self.stop - self.start

    @property
    def levels(self) -> int:
        """Factor that makes bytes of the entry's numbers in the replay, or 0 if it keeps them as floats."""
        return {PIXELS: 1, BERNOULLI: 255, SQUARES: int(self.uint8)}[self.loss]

    @property
    def replayed_bytes(self) -> int:
        """Bytes of the entry in the replay."""
        return self.size * (1 if self.levels else 2 if self.half else 4)


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
        while lengths[-1] >= LEAST and len(lengths) <= len(OF_LIDAR):
            lengths.append(-(-lengths[-1] // GROUP))
        return LidarShape(frames, tuple(lengths), _channels(frames, OF_LIDAR[: len(lengths) - 1], units))

    @property
    def activations(self) -> int:
        """Numbers that the layers of the encoder return for one observation, or those of the decoder."""
        return sum(length * width for length, width in zip(self.lengths, self.channels, strict=True))

    @property
    def tokens(self) -> int:
        """Width of the encoder's output."""
        return self.lengths[-1] * self.channels[-1]

    def encoder_weights(self) -> int:
        """Return the number of the encoder's parameters."""
        return sum((GROUP * GROUPS * inputs + 2) * outputs for inputs, outputs in pairwise(self.channels))

    def decoder_weights(self, units: int) -> int:
        """Return the number of the decoder's parameters behind its MLP."""
        first = (units + 1) * self.tokens + self.channels[-1]
        layers = pairwise(self.channels[::-1])
        return (
            first
            + sum((GROUPS * inputs + 1) * GROUP * outputs for inputs, outputs in layers)
            + sum(self.channels[1:-1])
        )


@dataclass(frozen=True)
class GridShape:
    """Convolutions over the cells of a grid, or the pixels of an image.

    Attributes:
        sides: height and width of the input, then of each convolution's output.
        channels: of the input, then of each convolution's output.
        channels_last: whether the input is (height, width, channels).
    """

    sides: tuple[tuple[int, int], ...]
    channels: tuple[int, ...]
    channels_last: bool

    @staticmethod
    def of(part: Part, units: int) -> "GridShape":
        """Return the convolutions of an entry in a network of this width."""
        channels_last = part.kind == IMAGE
        height, width = part.shape[:2] if channels_last else part.shape[-2:]
        sides = [(height, width)]
        while min(sides[-1]) >= LEAST and len(sides) <= len(MULTIPLIERS):
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        inputs = part.size // (height * width)
        return GridShape(tuple(sides), _channels(inputs, MULTIPLIERS[: len(sides) - 1], units), channels_last)

    @property
    def activations(self) -> int:
        """Numbers that the layers of the encoder return for one observation, or those of the decoder."""
        return sum(math.prod(sides) * width for sides, width in zip(self.sides, self.channels, strict=True))

    @property
    def tokens(self) -> int:
        """Width of the encoder's output."""
        return math.prod(self.sides[-1]) * self.channels[-1]

    def encoder_weights(self) -> int:
        """Return the number of the encoder's parameters."""
        return sum((KERNEL**2 * inputs + 2) * outputs for inputs, outputs in pairwise(self.channels))

    def decoder_weights(self, units: int) -> int:
        """Return the number of the decoder's parameters behind its MLP."""
        first = (units + 1) * self.tokens + self.channels[-1]
        layers = pairwise(self.channels[::-1])
        return first + sum((KERNEL**2 * inputs + 1) * outputs for inputs, outputs in layers) + sum(self.channels[1:-1])


def _channels(inputs: int, multipliers: Iterable[int], units: int) -> tuple[int, ...]:
    depth = max(1, units // UNITS_PER_DEPTH)
    return inputs, *(depth * multiplier for multiplier in multipliers)


Convolutions = LidarShape | GridShape


def convolutions(part: Part, units: int) -> Convolutions:
    """Return the convolutions of an entry that is no vector, in a network of this width."""
    return LidarShape.of(part, units) if part.kind == LIDAR else GridShape.of(part, units)


def parts_of_contract(contract: "ObservationContract") -> tuple[Part, ...]:
    """Return the parts of a contract's vector; () if all are vectors, which one MLP reads together.

    The replay keeps an entry of uint8 as bytes, and another lidar as float16 if its bounds are within HALF_BOUND.
    """
    parts = tuple(
        Part(
            each.key,
            each.encoder,
            each.shape,
            each.start,
            each.stop,
            loss_of(each.encoder, each.low, each.high),
            half=each.encoder == LIDAR and max(-each.low, each.high) <= HALF_BOUND,
            uint8=each.dtype == "uint8" and contract.scaling == NONE,
        )
        for each in contract.entries
    )
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
    if not isinstance(tree, dict) or set(tree) | set(LATER) != {field.name for field in fields(Part)}:
        return False
    shape, start, stop = tree["shape"], tree["start"], tree["stop"]
    if not isinstance(shape, list) or not all(map(is_count, shape)) or not is_count(stop) or start != before["stop"]:
        return False
    if not all(isinstance(tree.get(name, False), bool) for name in LATER):
        return False
    is_kind = isinstance(tree["key"], str) and tree["kind"] in KINDS and tree["loss"] in LOSSES
    return is_kind and math.prod(shape) == stop - start and fits_shape(tree["kind"], tuple(shape))


def replayed_bytes(size: int, parts: Sequence[Part]) -> int:
    """Return the bytes of an observation of this size in the replay."""
    return sum(part.replayed_bytes for part in parts) if parts else 4 * size


def vector_size(parts: Iterable[Part]) -> int:
    """Return how many numbers the entries of kind `vector` have together."""
    return sum(part.size for part in parts if part.kind == VECTOR)


def all_convolutions(parts: Iterable[Part], units: int) -> list[Convolutions]:
    """Return the convolutions of each entry that is no vector."""
    return [convolutions(part, units) for part in parts if part.kind != VECTOR]
