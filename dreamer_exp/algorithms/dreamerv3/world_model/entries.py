"""Encoder and decoder of observations whose entries have encoders of several kinds.

The entries of kind `vector` are read by one MLP together, and each other entry by an encoder of its own; the tokens are
concatenated, as in danijar/dreamerv3 (dreamerv3/rssm.py, `Encoder`). The decoder is one MLP with an output for each
entry. Letters: N rows, O numbers of the vector, R bearings, H x W cells, K channels (frames in a lidar's input).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.maths import symexp, symlog
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head, Linear, Mlp, NormSiLU, fan_in_normal
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature
from dreamer_exp.algorithms.dreamerv3.observation_parts import (
    GROUP,
    GROUPS,
    KERNEL,
    GridShape,
    LidarShape,
    Part,
    all_convolutions,
    vector_size,
)
from dreamer_exp.encoders import BERNOULLI, PIXELS, SQUARES, VECTOR

BRIGHTEST = 255.0  # value of a pixel


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
        self._vector = [slice(part.start, part.stop) for part in parts if part.kind == VECTOR]
        self._convolved = [part for part in parts if part.kind != VECTOR]
        shapes = all_convolutions(parts, units)
        self.vector = Mlp(vector_size(parts), units, layers) if self._vector else None
        self.convolved = nn.ModuleList(
            LidarEncoder(shape) if isinstance(shape, LidarShape) else GridEncoder(shape) for shape in shapes
        )
        self.tokens = (units if self._vector else 0) + sum(shape.tokens for shape in shapes)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the tokens (..., E) of observations (..., O)."""
        # (N, O)
        rows = observation.flatten(0, -2)
        tokens = []
        if self.vector is not None:
            vectors = _cut(rows, self._vector)
            tokens.append(self.vector(symlog(vectors) if self.squash else vectors))
        for encode, part in zip(self.convolved, self._convolved, strict=True):
            tokens.append(encode(_read(rows, part, self.squash)))
        return torch.cat(tokens, -1).view(*observation.shape[:-1], self.tokens)


class LidarEncoder(nn.Module):
    """Convolutions of stride 4 around the circle of bearings, from rows (N, K*R) to tokens (N, E).

    Each reads twelve bearings: a group of four becomes one position, which sees the groups to its left and right too.
    Turning the input by a multiple of the total stride turns the output. The number of operations decides how long
    acting on a CPU takes, so two layers of stride 4 are faster than four of stride 2.
    """

    def __init__(self, shape: LidarShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(shape.channels):
            self.layers += [Linear(GROUP * GROUPS * inputs, outputs), NormSiLU(outputs)]

    def forward(self, rows: Tensor) -> Tensor:
        """Return the tokens (N, E) of rows (N, K*R)."""
        # (N, R, K)
        x = rows.reshape(-1, self.shape.frames, self.shape.lengths[0]).transpose(1, 2)
        for product, norm in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = norm(product(_with_neighbours(_groups(x))))
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
        self.convolved = nn.ModuleList(
            LidarDecoder(shape, units) if isinstance(shape, LidarShape) else GridDecoder(shape, units)
            for shape in all_convolutions(parts, units)
        )

    @property
    def first(self) -> Linear:
        """The first layer, which reads the one-hot latent."""
        return self.trunk.first

    def forward(self, feature: Tensor | Feature) -> Tensor:
        """Return the predictions (N, O) of N rows, as the losses take them (`_error`)."""
        return self.outputs(self.trunk(feature))

    def outputs(self, hidden: Tensor) -> Tensor:
        """Return the predictions (N, O) of the MLP's last layer (N, U)."""
        sizes = [part.size for part in self._parts if part.kind == VECTOR]
        vectors = iter(() if self.vector is None else self.vector(hidden).split(sizes, -1))
        convolved = iter(decode(hidden) for decode in self.convolved)
        return torch.cat([next(vectors if part.kind == VECTOR else convolved) for part in self._parts], -1)

    def predict(self, feature: Tensor | Feature) -> Tensor:
        """Return the predicted observations (N, O)."""
        predicted: Tensor = self(feature)
        columns = predicted.split([part.size for part in self._parts], -1)
        return torch.cat(
            [_observed(each, part, self.squash) for each, part in zip(columns, self._parts, strict=True)], -1
        )

    def losses(
        self, feature: Tensor | Feature, observation: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted error, and those without weights by name, as `VectorDecoder.losses`.

        Their names are "decoder" and, for each entry, "decoder/<key>".
        """
        return self.errors(self(feature), observation.flatten(0, -2), weights)

    def errors(self, predicted: Tensor, rows: Tensor, weights: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `losses` returns, for predictions (N, O) of observations (N, O)."""
        columns = predicted.split([part.size for part in self._parts], -1)
        named, weighted = {}, []
        for each, part in zip(columns, self._parts, strict=True):
            # (size,)
            error = _error(each, rows[:, part.start : part.stop], part, self.squash).mean(0)
            named[f"decoder/{part.key}"] = error.sum()
            weighted.append(error if weights is None else error * weights[part.start : part.stop])
        total = torch.stack(list(named.values())).sum()
        scaled = total if weights is None else torch.cat(weighted).sum()
        return scaled, {"decoder": total, **named}


class LidarDecoder(nn.Module):
    """Transposed convolutions of stride 4 around the circle of bearings, from the MLP (N, U) to rows (N, K*R)."""

    def __init__(self, shape: LidarShape, units: int) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels[::-1]
        self.start, self.norm = Linear(units, shape.tokens), NormSiLU(channels[0])
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(channels):
            self.layers.append(Linear(GROUPS * inputs, GROUP * outputs))
        self.norms = nn.ModuleList(NormSiLU(width) for width in channels[1:-1])

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the predictions (N, K*R)."""
        lengths, channels = self.shape.lengths[::-1], self.shape.channels[::-1]
        # (N, R', K')
        x = self.norm(self.start(hidden).unflatten(-1, (lengths[0], channels[0])))
        for at, product in enumerate(self.layers):
            # each position becomes a group; what exceeds the length is left out
            x = product(_with_neighbours(x)).reshape(-1, GROUP * lengths[at], channels[at + 1])[:, : lengths[at + 1]]
            if at < len(self.norms):
                x = self.norms[at](x)
        rows: Tensor = x.transpose(1, 2).flatten(1)
        return rows


class GridEncoder(nn.Module):
    """Convolutions of stride 2 over a grid or an image, from rows (N, K*H*W) to tokens (N, E).

    Source: danijar/dreamerv3, dreamerv3/rssm.py, `Encoder` with `strided`.
    """

    def __init__(self, shape: GridShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(shape.channels):
            self.layers += [Convolution(inputs, outputs), NormSiLU(outputs)]

    def forward(self, rows: Tensor) -> Tensor:
        """Return the tokens (N, E) of rows (N, K*H*W), or (N, H*W*K) if the channels are last."""
        x = _cells(rows, self.shape)
        for product, norm in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = norm(product(x))
        return x.flatten(1)


class GridDecoder(nn.Module):
    """Transposed convolutions of stride 2, from the MLP (N, U) to rows (N, K*H*W), or (N, H*W*K)."""

    def __init__(self, shape: GridShape, units: int) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels[::-1]
        self.start, self.norm = Linear(units, shape.tokens), NormSiLU(channels[0])
        self.layers = nn.ModuleList(
            Convolution(inputs, outputs, transposed=True) for inputs, outputs in pairwise(channels)
        )
        self.norms = nn.ModuleList(NormSiLU(width) for width in channels[1:-1])

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the predictions, in the order of the observation."""
        sides = self.shape.sides[::-1]
        x = self.norm(self.start(hidden).unflatten(-1, (*sides[0], self.shape.channels[-1])))
        for at, product in enumerate(self.layers):
            x = product(x, sides[at + 1])
            if at < len(self.norms):
                x = self.norms[at](x)
        rows: Tensor = (x if self.shape.channels_last else x.permute(0, 3, 1, 2)).flatten(1)
        return rows


class Convolution(nn.Module):
    """Convolution of stride 2 and kernel `KERNEL`, or its transpose; channels are the last axis.

    torch's kernels see the same memory as channels-last tensors.
    """

    def __init__(self, inputs: int, outputs: int, transposed: bool = False) -> None:
        super().__init__()
        shape = (inputs, outputs, KERNEL, KERNEL) if transposed else (outputs, inputs, KERNEL, KERNEL)
        self.transposed = transposed
        self.weight = nn.Parameter(fan_in_normal(shape, KERNEL**2 * inputs, 1.0))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, sides: tuple[int, int] | None = None) -> Tensor:
        """Return the product (N, H', W', outputs) of x (N, H, W, inputs); a transposed one has these sides."""
        x, half = x.permute(0, 3, 1, 2), KERNEL // 2
        if self.transposed:
            assert sides is not None
            more = [side - (2 * before - 1) for side, before in zip(sides, x.shape[2:], strict=True)]
            y = functional.conv_transpose2d(x, self.weight, self.bias, 2, half, more)
        else:
            y = functional.conv2d(x, self.weight, self.bias, 2, half)
        return y.permute(0, 2, 3, 1).contiguous()


def _cells(rows: Tensor, shape: GridShape) -> Tensor:
    """Return the cells (N, H, W, K)."""
    (height, width), channels = shape.sides[0], shape.channels[0]
    if shape.channels_last:
        return rows.reshape(-1, height, width, channels)
    return rows.reshape(-1, channels, height, width).permute(0, 2, 3, 1)


def _read(rows: Tensor, part: Part, squash: bool) -> Tensor:
    """Return an entry of the rows as its encoder reads it."""
    x = rows[:, part.start : part.stop]
    if part.loss == PIXELS:
        return x / BRIGHTEST - 0.5
    return symlog(x) if squash and part.loss == SQUARES else x


def _error(predicted: Tensor, x: Tensor, part: Part, squash: bool) -> Tensor:
    """Return the error of each number of an entry (N, size)."""
    if part.loss == BERNOULLI:
        return functional.binary_cross_entropy_with_logits(predicted, x.clamp(0.0, 1.0), reduction="none")
    if part.loss == PIXELS:
        return (torch.sigmoid(predicted) - x / BRIGHTEST).square()
    return (predicted - (symlog(x) if squash else x)).square()


def _observed(predicted: Tensor, part: Part, squash: bool) -> Tensor:
    """Return the predicted observation of an entry; of a Bernoulli variable its probability."""
    if part.loss != SQUARES:
        return torch.sigmoid(predicted) * (BRIGHTEST if part.loss == PIXELS else 1.0)
    return symexp(predicted) if squash else predicted


def _cut(rows: Tensor, places: list[slice]) -> Tensor:
    """Return these columns of the rows next to each other."""
    return rows[:, places[0]] if len(places) == 1 else torch.cat([rows[:, place] for place in places], -1)


def _groups(x: Tensor) -> Tensor:
    """Return the positions of each group next to each other: (N, R, K) -> (N, R/4, 4 K)."""
    if missing := -x.shape[1] % GROUP:
        x = torch.cat([x, x[:, :missing]], 1)
    return x.reshape(-1, x.shape[1] // GROUP, GROUP * x.shape[2])


def _with_neighbours(x: Tensor) -> Tensor:
    """Return each position between its neighbours on the circle: (N, R, K) -> (N, R, 3 K)."""
    left, right = torch.cat([x[:, -1:], x[:, :-1]], 1), torch.cat([x[:, 1:], x[:, :1]], 1)
    return torch.cat([left, x, right], -1)
