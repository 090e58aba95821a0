"""Flat parameter storage: all values in one buffer, all gradients in another, and a shadow that products read.

A flat buffer makes the optimiser a few launches over all parameters, and lets neighbours be read as one matrix.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 64  # numbers at a multiple of which each tensor begins: 128 bytes of bfloat16, a line of the GPU's cache
ROWS = 8  # of bfloat16 in 16 bytes, that products are quick in multiples of


@dataclass(frozen=True)
class Leaf:
    """A published parameter, in its published shape.

    `value` and `grad` are float32, `low` is what matrix products read: in the operand's dtype, or `value` itself if
    that is float32. A follower has no gradient: its `grad` is empty (0,). `wide` is a matrix's `low` with rows up to a
    multiple of `ROWS`, those beyond its own being whatever follows in the storage: tensor cores take whole groups of
    rows several times as fast, and what comes of the others nobody reads.
    """

    value: Tensor
    low: Tensor
    grad: Tensor
    wide: Tensor


class Flat:
    """Takes over the storage of parameters: each becomes a view, so that whoever writes it in place writes here.

    The values lie in the order given, followers last, each tensor from a multiple of `ALIGNMENT` on. What lies between
    two tensors, and behind the last, is zero in every buffer.

    Args:
        parameters: float32, each once, on one device.
        operand: dtype of what matrix products read.
        followers: (follower, leader) each: parameters that aren't optimised, but follow one that is.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        operand: torch.dtype,
        followers: Sequence[tuple[nn.Parameter, nn.Parameter]] = (),
    ) -> None:
        self.parameters, self.leader_of = tuple(parameters), dict(followers)
        held = [*self.parameters, *self.leader_of]
        _check(held, self.leader_of)
        starts = [0, *itertools.accumulate(_padded(parameter.numel()) for parameter in held)]
        self._starts = dict(zip(held, starts[:-1], strict=True))
        optimised, device = starts[len(self.parameters)], held[0].device
        beyond = max(_wide(parameter.shape).numel() - parameter.numel() for parameter in held)
        self.values = torch.zeros(starts[-1] + beyond, device=device)
        self.gradients = torch.zeros(optimised, device=device)
        self.low = self.values if operand == torch.float32 else torch.zeros_like(self.values, dtype=operand)
        for parameter in held:
            view = self.view(self.values, parameter)
            view.copy_(parameter.detach())
            parameter.data = view
        self.refresh()

    def start(self, parameter: nn.Parameter) -> int:
        """Where a parameter or follower begins in the flat buffers."""
        return self._starts[parameter]

    def view(self, buffer: Tensor, parameter: nn.Parameter) -> Tensor:
        """A parameter's part of a buffer as long as the values or the gradients, in its shape."""
        return _cut(buffer, self.start(parameter), parameter.shape)

    def leaf(self, parameter: nn.Parameter) -> Leaf:
        """The views of a parameter or follower."""
        return self._leaf(self.start(parameter), parameter.shape)

    def joined(self, parameters: Sequence[nn.Parameter]) -> Leaf:
        """Neighbours (O_i, ...) as one (sum of O_i, ...); ValueError if they aren't, in this order and unpadded."""
        starts = [self.start(parameter) for parameter in parameters]
        ends = [start + parameter.numel() for start, parameter in zip(starts, parameters, strict=True)]
        kinds = {(parameter.shape[1:], parameter in self.leader_of) for parameter in parameters}
        if len(kinds) != 1 or ends[:-1] != starts[1:]:
            shapes = [tuple(parameter.shape) for parameter in parameters]
            raise ValueError(f"Parameters {shapes} that begin at {starts} are not rows of one matrix.")
        rows = sum(parameter.shape[0] for parameter in parameters)
        return self._leaf(starts[0], torch.Size([rows, *parameters[0].shape[1:]]))

    @torch.no_grad()
    def refresh(self) -> None:
        """Brings the shadow up to date, after values were written from outside: a checkpoint was loaded."""
        if self.low is not self.values:
            self.low.copy_(self.values)

    def _leaf(self, start: int, shape: torch.Size) -> Leaf:
        value = _cut(self.values, start, shape)
        low = value if self.low is self.values else _cut(self.low, start, shape)
        follows = start >= self.gradients.numel()
        wide = _cut(self.low, start, _wide(shape))
        return Leaf(value, low, self.gradients.new_empty(0) if follows else _cut(self.gradients, start, shape), wide)


def _padded(numbers: int) -> int:
    return -(-numbers // ALIGNMENT) * ALIGNMENT


def _wide(shape: torch.Size) -> torch.Size:
    """A matrix's with whole groups of rows."""
    return torch.Size([-(-shape[0] // ROWS) * ROWS, *shape[1:]]) if len(shape) == 2 else shape


def _cut(buffer: Tensor, start: int, shape: torch.Size) -> Tensor:
    return buffer[start : start + shape.numel()].view(shape)


def _check(held: list[nn.Parameter], leader_of: dict[nn.Parameter, nn.Parameter]) -> None:
    leaders = set(held) - set(leader_of)  # a set compares by identity, a list would compare numbers
    if len(set(held)) != len(held):
        raise ValueError("A parameter was given twice.")
    if any(parameter.dtype != torch.float32 for parameter in held):
        raise ValueError("Parameters are stored in float32.")
    if len(set(leader_of.values())) != len(leader_of):
        raise ValueError("A leader has one follower.")
    for follower, leader in leader_of.items():
        if leader not in leaders or follower.shape != leader.shape:
            raise ValueError("A follower needs a leader of its own shape among the parameters.")
