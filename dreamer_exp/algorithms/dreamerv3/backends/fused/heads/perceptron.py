"""Multilayer perceptron, forward and backward without autograd: layers.Mlp after its first product.

The caller computes the first product, because heads that read the same features share one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu, norm_silu_backward
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ParameterView, ViewOf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Affine, Normed
from dreamer_exp.algorithms.dreamerv3.networks.layers import Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm

ALIGNMENT = 8  # elements of bfloat16 in 16 bytes; products are fast if rows start at a multiple of it


@dataclass(frozen=True)
class Trace:
    """What the backward pass needs of a forward pass over N rows.

    Attributes:
        pres: product of each normed layer (N, U), float32.
        activations: output of each normed layer (N, U), operand dtype.
        output: product of the output layer (N, O), float32, whose rows start at a multiple of `ALIGNMENT`; the last
            activation if there is no output layer.
    """

    pres: tuple[Tensor, ...]
    activations: tuple[Tensor, ...]
    output: Tensor

    def rows(self, count: int) -> "Trace":
        """Return the first rows, as views."""
        return Trace(
            tuple(pre[:count] for pre in self.pres),
            tuple(activation[:count] for activation in self.activations),
            self.output[:count],
        )


@dataclass(frozen=True)
class Perceptron:
    """One to three normed layers, optionally followed by an output layer."""

    layers: Sequence[Normed]
    output: Affine | None
    precision: Precision

    @staticmethod
    def of(mlp: Mlp, view_of: ViewOf, precision: Precision) -> "Perceptron":
        """Return the perceptron of a module's parameters; the module needs a normed layer."""
        modules = list(mlp)
        layers = [
            Normed(view_of(linear.weight), view_of(linear.bias), view_of(norm.scale))
            for linear, norm in pairwise(modules)
            if isinstance(linear, Linear) and isinstance(norm, NormSiLU)
        ]
        last = modules[-1]
        output = Affine(view_of(last.weight), view_of(last.bias)) if isinstance(last, Linear) else None
        return Perceptron(layers, output, precision)

    @property
    def first(self) -> ParameterView:
        """Weight of the first layer, whose product the caller computes."""
        return self.layers[0].weight

    @property
    def bias(self) -> Tensor:
        """Bias of the output layer (O,), which `Trace.output` doesn't contain."""
        assert self.output is not None
        return self.output.bias.value

    def forward(self, first: Tensor) -> Trace:
        """Compute all layers after the first product.

        Launches: one for each norm, and one for each product but the first.

        Args:
            first: (N, U) float32, product of the first layer without bias, may be columns of a wider tensor.
        """
        pres, activations = [first], []
        for layer, after in zip(self.layers, [*self.layers[1:], None], strict=True):
            pre = pres[-1]
            activations.append(torch.empty(pre.shape, dtype=self.precision.operand, device=pre.device))
            norm_silu(pre, layer.bias.value, layer.scale.value, activations[-1])
            if after is not None:
                pres.append(mm(activations[-1], after.weight.low.t()))
        output = activations[-1]
        if self.output is not None:
            columns = len(self.output.weight.low)
            output = mm(output, self.output.weight.wide[: _padded(columns)].t())[:, :columns]
        return Trace(tuple(pres), tuple(activations), output)

    def backward(self, trace: Trace, d_output: Tensor, x: Tensor | None, d_first: Tensor | None = None) -> Tensor:
        """Write the gradient of every parameter, and return that of the first product (N, U), operand dtype.

        Launches: three for norm and weight of each normed layer, a product between two layers, and three for the output
        layer.

        Args:
            trace: result of `forward`, or some of its rows.
            d_output: (N, O) operand dtype, gradient of the output layer's product; without an output layer (N, U)
                float32, that of the last activation.
            x: (N, I) operand dtype, input of the first layer; with None the caller computes the gradient of its weight.
            d_first: the tensor to write to and return, may be columns of a wider one.
        """
        d_activation = d_output
        if self.output is not None:
            mm(d_output.t(), trace.activations[-1], out=self.output.weight.grad)
            torch.sum(d_output, 0, dtype=torch.float32, out=self.output.bias.grad)
            d_activation = self._through_output(d_output)
        return self._backward(trace, d_activation, x, d_first, with_parameters=True)

    def backward_to_input(self, trace: Trace, d_output: Tensor, d_first: Tensor | None = None) -> Tensor:
        """Return the same as `backward` without writing a parameter's gradient; one launch per product and norm."""
        d_activation = d_output if self.output is None else self._through_output(d_output)
        return self._backward(trace, d_activation, None, d_first, with_parameters=False)

    def _through_output(self, d_output: Tensor) -> Tensor:
        assert self.output is not None
        d_output = _with_padding(d_output)
        return mm(d_output, self.output.weight.wide[: d_output.shape[1]])

    def _backward(
        self, trace: Trace, d_activation: Tensor, x: Tensor | None, d_first: Tensor | None, *, with_parameters: bool
    ) -> Tensor:
        inputs = [x, *trace.activations[:-1]]
        d_pre = d_activation
        for index in reversed(range(len(self.layers))):
            layer, pre, operand = self.layers[index], trace.pres[index], inputs[index]
            given = d_first if index == 0 else None
            d_pre = torch.empty(pre.shape, dtype=self.precision.operand, device=pre.device) if given is None else given
            norm_silu_backward(
                d_activation, pre, layer.bias.value, layer.scale.value, d_pre,
                layer.scale.grad if with_parameters else None, layer.bias.grad if with_parameters else None,
            )  # fmt: skip
            if with_parameters and operand is not None:
                mm(d_pre.t(), operand, out=layer.weight.grad)
            if index > 0:
                d_activation = mm(d_pre, layer.weight.low)
        return d_pre


def aligned(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return zeros (rows, columns) whose rows start at a multiple of `ALIGNMENT`, so that products are fast.

    Products read the padding too; in the gradient of an output it has to stay zero.
    """
    return torch.zeros(rows, _padded(columns), dtype=dtype, device=device)[:, :columns]


def _padded(columns: int) -> int:
    return columns if columns == 1 else -(-columns // ALIGNMENT) * ALIGNMENT


def _with_padding(x: Tensor) -> Tensor:
    """Return the rows with the padding that `aligned` gave them."""
    return x.as_strided((len(x), x.stride(0)), (x.stride(0), 1))
