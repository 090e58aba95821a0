"""The layers that every part of the model is made of: linear, block-diagonal linear, RMSNorm with SiLU, MLP."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

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
        return functional.silu(functional.rms_norm(x, self.scale.shape, self.scale, RMS_EPSILON))


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
