"""Decoders after the posterior scan: one MLP by the kernels of this backend, or its outputs for entries by autograd."""

from typing import Protocol

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, aligned
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.regression import squared_error
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.losses import LossConfig
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.world_model.entries import EntryDecoder
from dreamer_exp.algorithms.dreamerv3.world_model.observation import VectorDecoder


class Decoder(Protocol):
    """Losses of a decoder after its first product, and their gradients."""

    def __call__(self, first: Tensor, observation: Tensor, d_first: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted loss, and those without weights by name (`VectorDecoder.losses`), () each.

        Also writes the gradients of all parameters but the first weight.

        Args:
            first: (N, U) float32, product of the first layer, may be columns of a wider tensor.
            observation: (N, O) float32, as the encoder takes it.
            d_first: (N, U), written: its gradient.
        """


def make_decoder(
    module: VectorDecoder | EntryDecoder, flat: Flat, config: LossConfig, precision: Precision, rows: int
) -> Decoder:
    """Return the decoder of N rows with a module's parameters, which are in flat storage."""
    if isinstance(module, EntryDecoder):
        return _Entries(module, flat, config, precision)
    return _Vector(module, flat, config, precision, rows)


class _Vector:
    """VectorDecoder for observations after symlog."""

    def __init__(self, module: VectorDecoder, flat: Flat, config: LossConfig, precision: Precision, rows: int) -> None:
        self.perceptron, self.config = Perceptron.of(module, flat.view, precision), config
        bias = self.perceptron.bias
        self._d_output = aligned(rows, len(bias), precision.operand, bias.device)

    def __call__(self, first: Tensor, observation: Tensor, d_first: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        weights, scale = self.config.decoder_weights, self.config.loss_scales["decoder"]
        trace = self.perceptron.forward(first)
        squares = squared_error(trace.output, self.perceptron.bias, observation, weights, scale, self._d_output)
        self.perceptron.backward(trace, self._d_output, None, d_first)
        unweighted = squares[0].mean()
        return unweighted if weights is None else squares[1].mean(), {"decoder": unweighted}


class _Entries:
    """EntryDecoder: its MLP by kernels, everything after it by autograd."""

    def __init__(self, module: EntryDecoder, flat: Flat, config: LossConfig, precision: Precision) -> None:
        self.module, self.config, self.precision = module, config, precision
        self.trunk = Perceptron.of(module.trunk, flat.view, precision)
        in_trunk = set(module.trunk.parameters())
        self._parameters = [parameter for parameter in module.parameters() if parameter not in in_trunk]
        self._gradients = [flat.view(parameter).grad for parameter in self._parameters]

    def __call__(self, first: Tensor, observation: Tensor, d_first: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        trace = self.trunk.forward(first)
        hidden = trace.output.detach().requires_grad_()
        with torch.enable_grad(), self.precision.autocast(hidden.device):
            loss, named = self.module.errors(self.module.outputs(hidden), observation, config.decoder_weights)
            scaled = config.loss_scales["decoder"] * loss
        d_hidden, *gradients = torch.autograd.grad(scaled, [hidden, *self._parameters])
        torch._foreach_copy_(self._gradients, gradients)
        self.trunk.backward(trace, d_hidden, None, d_first)
        return loss.detach(), {name: each.detach() for name, each in named.items()}
