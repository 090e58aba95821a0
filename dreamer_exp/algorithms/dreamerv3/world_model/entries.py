"""Encoder and decoder of observations whose entries have encoders of several kinds.

The entries of kind `vector` are read by one MLP together, and each other entry by an encoder of its own; the tokens are
concatenated, as in danijar/dreamerv3 (dreamerv3/rssm.py, `Encoder`). The decoder is one MLP with an output for each
entry. Letters: N rows, O numbers of the vector, R bearings, K channels (frames in the input).
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.maths import symexp, symlog
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head, Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature
from dreamer_exp.algorithms.dreamerv3.observation_parts import PAIRS, LidarShape, Part, vector_size
from dreamer_exp.encoders import LIDAR, VECTOR


class EntryEncoder(nn.Module):
    """Encoders of the entries, from vectors (..., O) to tokens (..., E).

    Args:
        parts: of the vector.
        units: width of the MLP's layers.
        layers: their number.
        squash: whether to apply symlog to the observation.
    """

    def __init__(self, parts: Sequence[Part], units: int, layers: int, squash: bool) -> None:
        super().__init__()
        self.squash = squash
        self._vector, self._lidars = _places(parts, VECTOR), _places(parts, LIDAR)
        shapes = [LidarShape.of(part, units) for part in parts if part.kind == LIDAR]
        self.vector = Mlp(vector_size(parts), units, layers) if self._vector else None
        self.lidars = nn.ModuleList(LidarEncoder(shape) for shape in shapes)
        self.tokens = (units if self._vector else 0) + sum(shape.tokens for shape in shapes)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the tokens (..., E) of observations (..., O)."""
        # (N, O)
        rows = (symlog(observation) if self.squash else observation).flatten(0, -2)
        tokens = [] if self.vector is None else [self.vector(_cut(rows, self._vector))]
        tokens += [encode(rows[:, place]) for encode, place in zip(self.lidars, self._lidars, strict=True)]
        return torch.cat(tokens, -1).view(*observation.shape[:-1], self.tokens)


class LidarEncoder(nn.Module):
    """Convolutions of stride 2 around the circle of bearings, from rows (N, K*R) to tokens (N, E).

    Each reads six bearings: two neighbours become one position, which sees the pairs to its left and right too. Turning
    the input by a multiple of the total stride turns the output.
    """

    def __init__(self, shape: LidarShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(shape.channels):
            self.layers += [Linear(2 * PAIRS * inputs, outputs), NormSiLU(outputs)]

    def forward(self, rows: Tensor) -> Tensor:
        """Return the tokens (N, E) of rows (N, K*R)."""
        # (N, R, K)
        x = rows.reshape(-1, self.shape.frames, self.shape.lengths[0]).transpose(1, 2)
        for product, norm in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = norm(product(_with_neighbours(_pairs(x))))
        return x.flatten(1)


class EntryDecoder(nn.Module):
    """MLP with an output for each entry, which predicts vectors (N, O), or their symlog.

    Args:
        parts: of the vector.
        feature: width of its input, D + S*C.
        units: width of each layer.
        layers: their number.
        squash: whether it predicts the symlog of the observation.
    """

    def __init__(self, parts: Sequence[Part], feature: int, units: int, layers: int, squash: bool) -> None:
        super().__init__()
        self.squash, self._parts = squash, tuple(parts)
        self.trunk = Head(feature, units, layers)
        size = vector_size(parts)
        self.vector = Linear(units, size) if size else None
        self.lidars = nn.ModuleList(
            LidarDecoder(LidarShape.of(part, units), units) for part in parts if part.kind == LIDAR
        )

    @property
    def first(self) -> Linear:
        """The first layer, which reads the one-hot latent."""
        return self.trunk.first

    def forward(self, feature: Tensor | Feature) -> Tensor:
        """Return the predictions (N, O) of N rows, after symlog if `squash`."""
        return self.outputs(self.trunk(feature))

    def outputs(self, hidden: Tensor) -> Tensor:
        """Return the predictions (N, O) of the MLP's last layer (N, U)."""
        sizes = [part.size for part in self._parts if part.kind == VECTOR]
        vectors = iter(() if self.vector is None else self.vector(hidden).split(sizes, -1))
        lidars = iter(decode(hidden) for decode in self.lidars)
        return torch.cat([next(lidars if part.kind == LIDAR else vectors) for part in self._parts], -1)

    def predict(self, feature: Tensor | Feature) -> Tensor:
        """Return the predicted observations (N, O)."""
        predicted: Tensor = self(feature)
        return symexp(predicted) if self.squash else predicted

    def losses(
        self, feature: Tensor | Feature, observation: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted error, and those without weights by name, as `VectorDecoder.losses`.

        Their names are "decoder" and, for each entry, "decoder/<key>".
        """
        target = (symlog(observation) if self.squash else observation).flatten(0, -2)
        return self.errors(self(feature), target, weights)

    def errors(self, predicted: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the same of predictions (N, O) and their targets (N, O)."""
        # (O,)
        squares = (predicted - target).square().mean(0)
        total = squares.sum()
        named = {f"decoder/{part.key}": squares[part.start : part.stop].sum() for part in self._parts}
        return total if weights is None else (squares * weights).sum(), {"decoder": total, **named}


class LidarDecoder(nn.Module):
    """Transposed convolutions of stride 2 around the circle of bearings, from the MLP (N, U) to rows (N, K*R)."""

    def __init__(self, shape: LidarShape, units: int) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels[::-1]
        self.start, self.norm = Linear(units, shape.tokens), NormSiLU(channels[0])
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(channels):
            self.layers.append(Linear(PAIRS * inputs, 2 * outputs))
        self.norms = nn.ModuleList(NormSiLU(width) for width in channels[1:-1])

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the predictions (N, K*R)."""
        lengths, channels = self.shape.lengths[::-1], self.shape.channels[::-1]
        # (N, R', K')
        x = self.norm(self.start(hidden).unflatten(-1, (lengths[0], channels[0])))
        for at, product in enumerate(self.layers):
            # each position becomes two; of an odd number the last one is left out
            x = product(_with_neighbours(x)).reshape(len(x), 2 * lengths[at], channels[at + 1])[:, : lengths[at + 1]]
            if at < len(self.norms):
                x = self.norms[at](x)
        rows: Tensor = x.transpose(1, 2).flatten(1)
        return rows


def _places(parts: Iterable[Part], kind: str) -> list[slice]:
    return [slice(part.start, part.stop) for part in parts if part.kind == kind]


def _cut(rows: Tensor, places: list[slice]) -> Tensor:
    """Return these columns of the rows next to each other."""
    return rows[:, places[0]] if len(places) == 1 else torch.cat([rows[:, place] for place in places], -1)


def _pairs(x: Tensor) -> Tensor:
    """Return neighbouring positions next to each other: (N, R, K) -> (N, R/2, 2 K)."""
    if x.shape[1] % 2:
        x = torch.cat([x, x[:, :1]], 1)
    return x.reshape(len(x), x.shape[1] // 2, 2 * x.shape[2])


def _with_neighbours(x: Tensor) -> Tensor:
    """Return each position between its neighbours on the circle: (N, R, K) -> (N, R, 3 K)."""
    left, right = torch.cat([x[:, -1:], x[:, :-1]], 1), torch.cat([x[:, 1:], x[:, :1]], 1)
    return torch.cat([left, x, right], -1)
