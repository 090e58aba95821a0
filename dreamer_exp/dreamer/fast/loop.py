"""Linear layers inside a loop over time whose weight gradients are taken once, over all steps.

Plain autograd adds a whole weight gradient a step, each a product of few rows: on a CPU most of the scan's time.
"""

from typing import Any

import torch
from torch import Tensor


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
        self.addends = iter(addend.to(half).unbind(0))

    def __call__(self, x: Tensor) -> Tensor:
        """The next step's product."""
        if self.learns:
            self.inputs.append(x.detach())
        product = torch.addmm if x.ndim == 2 else torch.baddbmm
        return product(next(self.addends), x, self.weight)


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
        return gradient, (inputs.mT @ steps.to(inputs.dtype)).to(ctx.dtype), None
