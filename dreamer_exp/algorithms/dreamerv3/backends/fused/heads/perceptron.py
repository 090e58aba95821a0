"""A multilayer perceptron forward and backward without autograd: layers.Mlp from its first raw product on.

The first product is the caller's, because heads that read the same features share one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu, norm_silu_backward
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Leaf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Affine, Normed
from dreamer_exp.algorithms.dreamerv3.networks.layers import Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm

ALIGNMENT = 8  # numbers of bfloat16 in 16 bytes, where a product's rows have to begin to be quick


@dataclass(frozen=True)
class Trace:
    """What the way back needs: of each normed layer its raw product (N, U) float32 and its activation (N, U), operand.

    output: the output layer's raw product (N, O) float32, rows at a multiple of `ALIGNMENT`; without an output layer
    the last activation.
    """

    pres: tuple[Tensor, ...]
    activations: tuple[Tensor, ...]
    output: Tensor

    def rows(self, count: int) -> "Trace":
        """The first rows, as views."""
        return Trace(
            tuple(pre[:count] for pre in self.pres),
            tuple(activation[:count] for activation in self.activations),
            self.output[:count],
        )


@dataclass(frozen=True)
class Perceptron:
    """One to three normed layers, then perhaps an output layer."""

    layers: Sequence[Normed]
    output: Affine | None
    precision: Precision

    @staticmethod
    def of(mlp: Mlp, leaf: Callable[[nn.Parameter], Leaf], precision: Precision) -> "Perceptron":
        """Of a module's parameters; at least one normed layer."""
        modules = list(mlp)
        layers = [
            Normed(leaf(linear.weight), leaf(linear.bias), leaf(norm.scale))
            for linear, norm in pairwise(modules)
            if isinstance(linear, Linear) and isinstance(norm, NormSiLU)
        ]
        last = modules[-1]
        output = Affine(leaf(last.weight), leaf(last.bias)) if isinstance(last, Linear) else None
        return Perceptron(layers, output, precision)

    @property
    def first(self) -> Leaf:
        """The weight of the first layer, whose product is the caller's."""
        return self.layers[0].weight

    @property
    def bias(self) -> Tensor:
        """Of the output layer (O,), which whoever reads its raw product adds."""
        assert self.output is not None
        return self.output.bias.value

    def run(self, first: Tensor) -> Trace:
        """Of the first layer's raw product (N, U) float32, without bias, which may be columns of a wider tensor.

        A launch for each norm and each product but the first.
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

    def learn(self, trace: Trace, d_output: Tensor, x: Tensor | None, d_first: Tensor | None = None) -> Tensor:
        """Writes every parameter's gradient; returns the gradient of the first raw product (N, U), operand dtype.

        Launches: 3 for each normed layer's norm and weight, a product between two layers, 3 for the output layer.

        Args:
            trace: what `run` returned, or some of its rows.
            d_output: (N, O) operand, gradient of the output's raw product; (N, U) float32, that of the last
                activation, if there is no output layer.
            x: (N, I) operand, what the first layer read; None leaves the gradient of its weight to the caller.
            d_first: where to write what is returned, perhaps columns of a wider tensor.
        """
        d_activation = d_output
        if self.output is not None:
            mm(d_output.t(), trace.activations[-1], out=self.output.weight.grad)
            torch.sum(d_output, 0, dtype=torch.float32, out=self.output.bias.grad)
            d_activation = self._through_output(d_output)
        return self._back(trace, d_activation, x, d_first, learn=True)

    def pull(self, trace: Trace, d_output: Tensor, d_first: Tensor | None = None) -> Tensor:
        """What `learn` returns, without any parameter's gradient; a launch for each product and each norm."""
        d_activation = d_output if self.output is None else self._through_output(d_output)
        return self._back(trace, d_activation, None, d_first, learn=False)

    def _through_output(self, d_output: Tensor) -> Tensor:
        assert self.output is not None
        d_output = _whole(d_output)
        return mm(d_output, self.output.weight.wide[: d_output.shape[1]])

    def _back(
        self, trace: Trace, d_activation: Tensor, x: Tensor | None, d_first: Tensor | None, *, learn: bool
    ) -> Tensor:
        read = [x, *trace.activations[:-1]]
        d_pre = d_activation
        for index in reversed(range(len(self.layers))):
            layer, pre, operand = self.layers[index], trace.pres[index], read[index]
            given = d_first if index == 0 else None
            d_pre = torch.empty(pre.shape, dtype=self.precision.operand, device=pre.device) if given is None else given
            norm_silu_backward(
                d_activation, pre, layer.bias.value, layer.scale.value, d_pre,
                layer.scale.grad if learn else None, layer.bias.grad if learn else None,
            )  # fmt: skip
            if learn and operand is not None:
                mm(d_pre.t(), operand, out=layer.weight.grad)
            if index > 0:
                d_activation = mm(d_pre, layer.weight.low)
        return d_pre


def aligned(rows: int, columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros (rows, columns), each row beginning at a multiple of `ALIGNMENT`, so that products stay quick.

    They take the padding too, which for the gradient of an output has to stay zero.
    """
    return torch.zeros(rows, _padded(columns), dtype=dtype, device=device)[:, :columns]


def _padded(columns: int) -> int:
    return columns if columns == 1 else -(-columns // ALIGNMENT) * ALIGNMENT


def _whole(x: Tensor) -> Tensor:
    """Rows with the padding that `aligned` gave them."""
    return x.as_strided((len(x), x.stride(0)), (x.stride(0), 1))
