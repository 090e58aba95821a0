"""Flat parameter storage: one buffer of values, one of gradients, and a copy of the values for matrix products.

With flat buffers, an optimiser step is a few launches over all parameters, and neighbouring weights can be read as one
matrix.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

ALIGNMENT = 64  # every tensor starts at a multiple of it, in elements: 128 bytes of bfloat16, one cache line of the GPU
ROWS = 8  # products are fast in multiples of so many rows: 16 bytes of bfloat16


@dataclass(frozen=True)
class ParameterView:
    """Views of one parameter's segments in flat storage, in the parameter's published shape.

    Attributes:
        value: float32.
        low: what matrix products read, in the operand dtype; `value` itself if that is float32.
        grad: float32; empty (0,) for a follower, which has no gradient.
        wide: for a matrix, `low` with the number of rows rounded up to a multiple of `ROWS`. The extra rows are
            whatever comes next in storage. Tensor cores are several times faster on full groups of rows, and nobody
            reads the products of the extra ones.
    """

    value: Tensor
    low: Tensor
    grad: Tensor
    wide: Tensor


ViewOf: TypeAlias = Callable[[nn.Parameter], ParameterView]


class Flat:
    """Storage that parameters are moved into: each becomes a view, so writing to it in place writes to the storage.

    Values are stored in the given order, followers last, and each tensor starts at a multiple of `ALIGNMENT`. The
    padding between tensors and after the last one is zero in every buffer.

    Args:
        parameters: float32 parameters on one device, each once.
        operand: dtype that matrix products read.
        followers: pairs (follower, leader). A follower is not optimised, it is moved towards its leader.

    Raises:
        ValueError: a parameter is given twice, is not float32, or a pair doesn't match.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        operand: torch.dtype,
        followers: Sequence[tuple[nn.Parameter, nn.Parameter]] = (),
    ) -> None:
        self.parameters, self.leader_of = tuple(parameters), dict(followers)
        stored = [*self.parameters, *self.leader_of]
        _check(stored, self.leader_of)
        starts = [0, *itertools.accumulate(_padded(parameter.numel()) for parameter in stored)]
        self._starts = dict(zip(stored, starts[:-1], strict=True))
        optimised, device = starts[len(self.parameters)], stored[0].device
        overhang = max(_wide(parameter.shape).numel() - parameter.numel() for parameter in stored)
        self.values = torch.zeros(starts[-1] + overhang, device=device)
        self.gradients = torch.zeros(optimised, device=device)
        self.low = self.values if operand == torch.float32 else torch.zeros_like(self.values, dtype=operand)
        for parameter in stored:
            segment = self.segment(self.values, parameter)
            segment.copy_(parameter.detach())
            parameter.data = segment
        self.refresh()

    def start(self, parameter: nn.Parameter) -> int:
        """Return the offset of a parameter or follower in the flat buffers."""
        return self._starts[parameter]

    def segment(self, buffer: Tensor, parameter: nn.Parameter) -> Tensor:
        """Return a parameter's segment of a buffer as long as `values` or `gradients`, in the parameter's shape."""
        return _cut(buffer, self.start(parameter), parameter.shape)

    def view(self, parameter: nn.Parameter) -> ParameterView:
        """Return the views of a parameter or follower."""
        return self._view(self.start(parameter), parameter.shape)

    def joined(self, parameters: Sequence[nn.Parameter]) -> ParameterView:
        """Return neighbours (O_i, ...) as one parameter (sum of O_i, ...).

        Raises:
            ValueError: they are not adjacent, in this order and without padding.
        """
        starts = [self.start(parameter) for parameter in parameters]
        ends = [start + parameter.numel() for start, parameter in zip(starts, parameters, strict=True)]
        kinds = {(parameter.shape[1:], parameter in self.leader_of) for parameter in parameters}
        if len(kinds) != 1 or ends[:-1] != starts[1:]:
            shapes = [tuple(parameter.shape) for parameter in parameters]
            raise ValueError(f"Parameters {shapes} that start at {starts} are not rows of one matrix.")
        rows = sum(parameter.shape[0] for parameter in parameters)
        return self._view(starts[0], torch.Size([rows, *parameters[0].shape[1:]]))

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the values to `low`; needed after values were written from outside, as by loading a checkpoint."""
        if self.low is not self.values:
            self.low.copy_(self.values)

    def _view(self, start: int, shape: torch.Size) -> ParameterView:
        value = _cut(self.values, start, shape)
        low = value if self.low is self.values else _cut(self.low, start, shape)
        is_follower = start >= self.gradients.numel()
        grad = self.gradients.new_empty(0) if is_follower else _cut(self.gradients, start, shape)
        return ParameterView(value, low, grad, wide=_cut(self.low, start, _wide(shape)))


def _padded(elements: int) -> int:
    return -(-elements // ALIGNMENT) * ALIGNMENT


def _wide(shape: torch.Size) -> torch.Size:
    """Return a matrix's shape with the rows rounded up to a multiple of `ROWS`."""
    return torch.Size([-(-shape[0] // ROWS) * ROWS, *shape[1:]]) if len(shape) == 2 else shape


def _cut(buffer: Tensor, start: int, shape: torch.Size) -> Tensor:
    return buffer[start : start + shape.numel()].view(shape)


def _check(stored: list[nn.Parameter], leader_of: dict[nn.Parameter, nn.Parameter]) -> None:
    leaders = set(stored) - set(leader_of)  # a set compares by identity, a list would compare elements
    if len(set(stored)) != len(stored):
        raise ValueError("A parameter was given twice.")
    if any(parameter.dtype != torch.float32 for parameter in stored):
        raise ValueError("Parameters are stored in float32.")
    if len(set(leader_of.values())) != len(leader_of):
        raise ValueError("A leader has one follower.")
    for follower, leader in leader_of.items():
        if leader not in leaders or follower.shape != leader.shape:
            raise ValueError("A follower needs a leader of its own shape among the parameters.")
