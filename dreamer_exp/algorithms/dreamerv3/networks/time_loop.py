"""Layers inside a loop over time whose weight gradient is computed once, over all steps.

Plain autograd adds to each weight gradient at every step. These are products of few rows, and on a CPU they take most
of the time of the posterior scan.
"""

from typing import Any

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.networks.layers import Linear, Mlp
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Transposed, gather_sum, one_hot
from dreamer_exp.algorithms.dreamerv3.networks.products import add_product, bmm, mm


class LoopLinear:
    """Affine map whose t-th call returns ``addend[t] + x @ weight``.

    Args:
        weight: (I, O), or (G, I, O) for G blocks.
        addend: what does not depend on x, for all steps: (T, N, O), or (T, G, N, O).
    """

    def __init__(self, weight: Tensor, addend: Tensor) -> None:
        self.inputs: list[Tensor] = []
        self.learns = torch.is_grad_enabled() and weight.requires_grad
        device = weight.device.type  # autocast does not cache a detached weight: cast it once instead of every step
        half = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        self.weight = weight.detach().to(half)
        if self.learns:
            addend = _CollectInputs.apply(addend, weight, self.inputs)  # type: ignore[no-untyped-call]  # torch's
        self.mixed = half != weight.dtype
        self.addends = iter((addend.to(weight.dtype) if self.mixed else addend).unbind(0))

    def __call__(self, x: Tensor) -> Tensor:
        """Return the next step's output (N, O) for x (N, I), or (G, N, O) for x (G, N, I)."""
        if self.mixed:
            low = x.detach().to(self.weight.dtype)
            product: Tensor = _MixedProduct.apply(next(self.addends), x, low, self.weight)  # type: ignore[no-untyped-call]  # torch's
        else:
            low = x.detach()
            product = (torch.addmm if x.ndim == 2 else torch.baddbmm)(next(self.addends), x, self.weight)
        if self.learns:
            self.inputs.append(low)
        return product


class LoopMlp:
    """An `Mlp` called once a step, its linear layers as `LoopLinear`.

    Args:
        mlp: the layers.
        steps: T.
        rows: N.
    """

    def __init__(self, mlp: Mlp, steps: int, rows: int) -> None:
        self.layers = [
            LoopLinear(layer.weight.t(), layer.bias.expand(steps, rows, -1)) if isinstance(layer, Linear) else layer
            for layer in mlp
        ]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the next step's output (N, outputs) for x (N, inputs)."""
        for layer in self.layers:
            x = layer(x)
        return x


class LoopGather:
    """`LoopLinear` for the one-hot latent: a step gathers rows of the weight instead of a product.

    Args:
        weight: (S*C, O).
        addend: (T, N, O); step 0 includes the product with the latent from before the loop.
    """

    def __init__(self, weight: Tensor, addend: Tensor) -> None:
        self.table = weight.detach().contiguous()
        self.rows: list[Tensor] = []
        self.keep: list[Tensor] = []
        if torch.is_grad_enabled():
            # pass the lists, not self: autograd would then hold an object that holds the graph, a cycle that Python's
            # garbage collector cannot see
            addend = _CollectRows.apply(addend, weight, self.rows, self.keep)  # type: ignore[no-untyped-call]  # torch's
        self.addends = addend.unbind(0)

    def first(self) -> Tensor:
        """Return the output of step 0 (N, O)."""
        return self.addends[0]

    def __call__(self, probabilities: Tensor, rows: Tensor, keep: Tensor) -> Tensor:
        """Return the next step's output (N, O).

        Args:
            probabilities: what the latent was drawn from (N, S, C); they receive its gradient.
            rows: positions of the ones (N, S).
            keep: 0 where the latent is reset, else 1 (N, 1).
        """
        self.rows.append(rows)
        self.keep.append(keep)
        gathered: Tensor = _Gather.apply(probabilities, rows, keep, self.table)  # type: ignore[no-untyped-call]  # torch's
        return self.addends[len(self.rows)] + gathered


class LoopLatent:
    """Linear layer of the latent inside a loop, as a gather or as a dense product, whichever is faster.

    Args:
        layer: maps (N, S*C) to (N, O).
        carry: latent before the loop (N, S*C); it need not be one-hot (an initial state is zero).
        steps: T.
    """

    def __init__(self, layer: Linear, carry: Tensor, steps: int) -> None:
        first = layer(carry)
        later = layer.bias.expand(steps - 1, *first.shape)
        self.gathers = hand_written.is_faster(carry.device)
        if self.gathers:
            self._gather = LoopGather(layer.weight.t(), torch.cat([first[None], later]))
        else:
            self._first, self._linear = first, LoopLinear(layer.weight.t(), later)

    def first(self) -> Tensor:
        """Return the output of step 0 (N, O)."""
        return self._gather.first() if self.gathers else self._first

    def __call__(self, probabilities: Tensor, rows: Tensor, keep: Tensor) -> Tensor:
        """Return the next step's output (N, O); arguments as those of `LoopGather`."""
        if self.gathers:
            return self._gather(probabilities, rows, keep)
        return self._linear(one_hot(rows, probabilities) * keep)


class _MixedProduct(torch.autograd.Function):
    """Return ``addend + low @ weight`` in float32 from operands of 16 bits.

    autocast would round the result to 16 bits. `low` is x (float32) rounded; x receives the gradient of `low`.
    """

    @staticmethod
    def forward(ctx: Any, addend: Tensor, x: Tensor, low: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return add_product(addend, low, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        product = mm if weight.ndim == 2 else bmm
        return gradient, product(gradient.to(weight.dtype), weight.mT), None, None


class _CollectInputs(torch.autograd.Function):
    """Return the addend; in backward, compute the weight's gradient from the inputs of all steps.

    The gradient of the addend is that of every step's product.
    """

    @staticmethod
    def forward(ctx: Any, addend: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        ctx.inputs, ctx.dtype = inputs, weight.dtype
        return addend.view_as(addend)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # ([G,] T*N, I) and ([G,] T*N, O)
        inputs = torch.cat(ctx.inputs, -2)
        steps = gradient.flatten(0, 1) if gradient.ndim == 3 else gradient.transpose(0, 1).flatten(1, 2)
        product = mm if gradient.ndim == 3 else bmm
        return gradient, product(inputs.mT, steps.to(inputs.dtype)).to(ctx.dtype), None


class _Gather(torch.autograd.Function):
    """Return the sum of the latent's rows of the table (N, O), times keep (N, 1)."""

    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, rows: Tensor, keep: Tensor, table: Tensor) -> Tensor:
        ctx.save_for_backward(keep, table)
        ctx.shape = probabilities.shape
        return gather_sum(rows, table).mul_(keep)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        keep, table = ctx.saved_tensors
        return ((gradient * keep) @ table.t()).view(ctx.shape), None, None, None


class _CollectRows(torch.autograd.Function):
    """Return the addend; in backward, compute the weight's gradient from the rows gathered at all steps."""

    @staticmethod
    def forward(ctx: Any, addend: Tensor, weight: Tensor, rows: list[Tensor], keep: list[Tensor]) -> Tensor:
        ctx.rows, ctx.keep, ctx.width = rows, keep, weight.shape[0]
        return addend.view_as(addend)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.rows:
            return gradient, None, None, None
        # ((T-1)*N, O)
        kept = (gradient[1:] * torch.stack(ctx.keep)).flatten(0, 1)
        return gradient, Transposed(torch.cat(ctx.rows), ctx.width).gather_sum(kept), None, None
