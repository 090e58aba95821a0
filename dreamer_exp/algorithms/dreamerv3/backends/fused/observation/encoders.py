"""Encoders before the posterior scan: one MLP by this backend's kernels, or entries of several kinds by autograd."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm
from dreamer_exp.algorithms.dreamerv3.world_model.entries import EntryEncoder
from dreamer_exp.algorithms.dreamerv3.world_model.observation import VectorEncoder


@dataclass(frozen=True)
class Encoding:
    """Tokens of N observations, and the backward pass.

    Attributes:
        tokens: (N, E), operand dtype.
        backward: writes the gradients of the encoder's parameters, given those of the tokens (N, E), float32.
    """

    tokens: Tensor
    backward: Callable[[Tensor], None]


class Encoder(Protocol):
    """Function of observations (N, O), float32."""

    def __call__(self, observation: Tensor) -> Encoding:
        """Encode the observations."""


def make_encoder(module: VectorEncoder | EntryEncoder, flat: Flat, precision: Precision) -> Encoder:
    """Return the encoder with a module's parameters, which are in flat storage."""
    if isinstance(module, EntryEncoder):
        return _Entries(module, flat, precision)
    return _Vector(module, flat, precision)


class _Vector:
    """VectorEncoder without its symlog, because the decoder needs the squashed observation too."""

    def __init__(self, module: VectorEncoder, flat: Flat, precision: Precision) -> None:
        self.perceptron, self.precision = Perceptron.of(module, flat.view, precision), precision

    def __call__(self, observation: Tensor) -> Encoding:
        x = observation.to(self.precision.operand)
        trace = self.perceptron.forward(mm(x, self.perceptron.first.low.t()))

        def backward(d_tokens: Tensor) -> None:
            self.perceptron.backward(trace, d_tokens, x)

        return Encoding(trace.output, backward)


class _Entries:
    """EntryEncoder by autograd, whose backward pass runs on the stream of the call."""

    def __init__(self, module: EntryEncoder, flat: Flat, precision: Precision) -> None:
        self.module, self.precision = module, precision
        self._parameters = list(module.parameters())
        self._gradients = [flat.view(parameter).grad for parameter in self._parameters]

    def __call__(self, observation: Tensor) -> Encoding:
        with torch.enable_grad(), self.precision.autocast(observation.device):
            tokens = self.module(observation)

        def backward(d_tokens: Tensor) -> None:
            torch._foreach_copy_(self._gradients, torch.autograd.grad(tokens, self._parameters, d_tokens))

        return Encoding(tokens.detach().to(self.precision.operand), backward)
