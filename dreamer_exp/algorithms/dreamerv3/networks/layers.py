"""The layers that every part of the model is made of: linear, block-diagonal linear, RMSNorm with SiLU, MLP."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, feature_linear

RMS_EPSILON = 1e-4
TRUNCATION_GAIN = 1.0 / 0.87962566103423978  # standard deviation of a normal cut at +-2, so that variance is kept


def fan_in_normal(shape: tuple[int, ...], fan_in: int, scale: float) -> Tensor:
    """Truncated normal with variance scale / fan_in; zeros for scale 0.

    Source: danijar/dreamerv3, embodied/jax/nets.py, `trunc_normal_in`.
    """
    weight = torch.empty(shape)
    if scale == 0.0:
        return weight.zero_()
    deviation = scale * math.sqrt(1.0 / fan_in) * TRUNCATION_GAIN
    return nn.init.trunc_normal_(weight, 0.0, deviation, -2.0 * deviation, 2.0 * deviation)


class Linear(nn.Module):
    """x (..., I) -> (..., O); the weight is (O, I)."""

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(fan_in_normal((outputs, inputs), inputs, scale))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The affine map."""
        return functional.linear(x, self.weight, self.bias)


class BlockLinear(nn.Module):
    """x (N, G, I) -> (N, G, O): each of the G blocks has a weight of its own; the weight is (G, I, O)."""

    def __init__(self, blocks: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(fan_in_normal((blocks, inputs, outputs), inputs, 1.0))
        self.bias = nn.Parameter(torch.zeros(blocks, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The affine map of each block."""
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


class NormSiLU(nn.Module):
    """SiLU(RMSNorm(x)) over the last axis, with a learned scale."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(units))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x."""
        if hand_written.is_faster(x.device):
            y: Tensor = _NormSiLU.apply(x, self.scale)  # type: ignore[no-untyped-call]  # torch's
            return y
        # torch's fused norm wants one dtype: after a bfloat16 product it would fall back to many kernels
        return functional.silu(functional.rms_norm(x.to(self.scale.dtype), self.scale.shape, self.scale, RMS_EPSILON))


class _NormSiLU(torch.autograd.Function):
    """torch's own RMSNorm is many passes over memory on a CPU, and more in its backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        mean_square = torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(RMS_EPSILON)
        inverse = mean_square.rsqrt_()[..., None]
        normed = x * inverse
        scaled = normed * scale
        ctx.save_for_backward(normed, scaled, inverse, scale)
        return functional.silu(scaled)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        normed, scaled, inverse, scale = ctx.saved_tensors
        to_scaled = torch.ops.aten.silu_backward(gradient, scaled)
        to_scale = (to_scaled * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        to_normed = to_scaled.mul_(scale)
        shared = torch.linalg.vecdot(to_normed, normed).div_(-normed.shape[-1])[..., None]
        return to_normed.addcmul_(normed, shared).mul_(inverse), to_scale


class Mlp(nn.Sequential):
    """`layers` times Linear, RMSNorm, SiLU; then, if `outputs` is given, a Linear of that initial scale."""

    def __init__(
        self, inputs: int, units: int, layers: int, outputs: int | None = None, output_scale: float = 1.0
    ) -> None:
        parts: list[nn.Module] = []
        for layer in range(layers):
            parts += [Linear(inputs if layer == 0 else units, units), NormSiLU(units)]
        if outputs is not None:
            parts.append(Linear(units if layers else inputs, outputs, output_scale))
        super().__init__(*parts)


class Head(Mlp):
    """An MLP over deter and latent, dense (..., D + S*C) or as a Feature of N rows."""

    def forward(self, x: Tensor | Feature, known: Tensor | None = None) -> Tensor:
        """The output layer's numbers (..., outputs); `known` is the first layer's product of x, if at hand."""
        first = self.first
        y: Tensor = feature_linear(x, first.weight, first.bias, known) if isinstance(x, Feature) else first(x)
        return self.rest(y)

    @property
    def first(self) -> Linear:
        """The first layer, which the one-hot latent enters."""
        layer = self[0]
        assert isinstance(layer, Linear)
        return layer

    def rest(self, y: Tensor) -> Tensor:
        """All but the first layer."""
        for layer in list(self)[1:]:
            y = layer(y)
        return y
