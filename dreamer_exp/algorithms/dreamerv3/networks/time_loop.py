"""Linear layers inside a loop over time whose weight gradients are taken once, over all steps.

Plain autograd adds a whole weight gradient a step, each a product of few rows: on a CPU most of the scan's time.
"""

from typing import Any

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.networks.products import add_product, bmm, mm


class LoopLinear:
    """addend[t] + x @ weight at the t-th call.

    x (N, I), weight (I, O), addend (T, N, O); or in G blocks x (G, N, I), weight (G, I, O), addend (T, G, N, O).
    """

    def __init__(self, weight: Tensor, addend: Tensor) -> None:
        self.inputs: list[Tensor] = []
        self.learns = torch.is_grad_enabled() and weight.requires_grad
        device = weight.device.type  # a detached weight isn't cached by autocast: cast it once, not a step
        half = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        self.weight = weight.detach().to(half)
        if self.learns:
            addend = _Collect.apply(addend, weight, self.inputs)  # type: ignore[no-untyped-call]  # torch's
        self.mixed = half != weight.dtype
        self.addends = iter((addend.to(weight.dtype) if self.mixed else addend).unbind(0))

    def __call__(self, x: Tensor) -> Tensor:
        """The next step's product."""
        if self.mixed:
            low = x.detach().to(self.weight.dtype)
            product: Tensor = _Mixed.apply(next(self.addends), x, low, self.weight)  # type: ignore[no-untyped-call]  # torch's
        else:
            low = x.detach()
            product = (torch.addmm if x.ndim == 2 else torch.baddbmm)(next(self.addends), x, self.weight)
        if self.learns:
            self.inputs.append(low)
        return product


class _Mixed(torch.autograd.Function):
    """addend + low @ weight in float32 of half operands: autocast would round the result, and cast it back and forth.

    x (float32) takes the gradient of `low`, which is x rounded.
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


class _Collect(torch.autograd.Function):
    """The addend itself. Its gradient is that of every step's product, which with the inputs gives the weight's."""

    @staticmethod
    def forward(ctx: Any, addend: Tensor, weight: Tensor, inputs: list[Tensor]) -> Tensor:
        ctx.inputs, ctx.dtype = inputs, weight.dtype
        return addend.view_as(addend)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = torch.cat(ctx.inputs, -2)  # ([G,] T*N, I)
        steps = gradient.flatten(0, 1) if gradient.ndim == 3 else gradient.transpose(0, 1).flatten(1, 2)
        product = mm if gradient.ndim == 3 else bmm
        return gradient, product(inputs.mT, steps.to(inputs.dtype)).to(ctx.dtype), None
