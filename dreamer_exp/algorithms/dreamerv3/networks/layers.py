"""Linear, block-diagonal linear, RMSNorm with SiLU, and the MLPs and heads made of them."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, feature_linear

RMS_EPSILON = 1e-4
TRUNCATION_GAIN = 1.0 / 0.87962566103423978  # a normal cut at +-2 has this standard deviation; dividing restores it


def fan_in_normal(shape: tuple[int, ...], fan_in: int, scale: float) -> Tensor:
    """Return a truncated normal weight of variance scale**2 / fan_in; zeros for scale 0.

    Source: danijar/dreamerv3, embodied/jax/nets.py, `trunc_normal_in`.
    """
    weight = torch.empty(shape)
    if scale == 0.0:
        return weight.zero_()
    deviation = scale * math.sqrt(1.0 / fan_in) * TRUNCATION_GAIN
    return nn.init.trunc_normal_(weight, 0.0, deviation, -2.0 * deviation, 2.0 * deviation)


class Linear(nn.Module):
    """Affine map (..., I) -> (..., O) with weight (O, I).

    Args:
        inputs: I.
        outputs: O.
        scale: of the initial weight (`fan_in_normal`).
    """

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(fan_in_normal((outputs, inputs), inputs, scale))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of x (..., I)."""
        return functional.linear(x, self.weight, self.bias)


class BlockLinear(nn.Module):
    """Affine map (N, G, I) -> (N, G, O) with a separate weight for each block, together (G, I, O).

    Args:
        blocks: G.
        inputs: I, of one block.
        outputs: O, of one block.
    """

    def __init__(self, blocks: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(fan_in_normal((blocks, inputs, outputs), inputs, 1.0))
        self.bias = nn.Parameter(torch.zeros(blocks, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the map of x (N, G, I)."""
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight).transpose(0, 1)


class NormSiLU(nn.Module):
    """SiLU(RMSNorm(x)) over the last axis, with a learned scale."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(units))

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the shape of x (..., units)."""
        if hand_written.is_faster(x.device):
            if not torch.is_grad_enabled():  # acting: what a gradient costs is a third of the norm's time
                return norm_silu(x, self.scale)
            y: Tensor = _NormSiLU.apply(x, self.scale)  # type: ignore[no-untyped-call]  # torch's
            return y
        # torch's fused norm needs one dtype; given a bfloat16 product it would fall back to many kernels
        return functional.silu(functional.rms_norm(x.to(self.scale.dtype), self.scale.shape, self.scale, RMS_EPSILON))


def norm_silu(x: Tensor, scale: Tensor) -> Tensor:
    """Return SiLU(RMSNorm(x)) without a gradient, on a CPU by the operations of `_NormSiLU`.

    Args:
        x: (..., units), or K vectors (..., K, units).
        scale: (units,), or one for each of the K vectors (K, units).
    """
    if not hand_written.is_faster(x.device):
        return functional.silu(functional.rms_norm(x.to(scale.dtype), scale.shape[-1:], None, RMS_EPSILON) * scale)
    inverse = (x * x).sum(-1, keepdim=True).div_(x.shape[-1]).add_(RMS_EPSILON).rsqrt_()
    return functional.silu((x * inverse).mul_(scale), inplace=True)


class _NormSiLU(torch.autograd.Function):
    """SiLU(RMSNorm(x)) with fewer passes over memory than torch's on a CPU, above all in backward."""

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
        d_scaled = torch.ops.aten.silu_backward(gradient, scaled)
        d_scale = (d_scaled * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        d_normed = d_scaled.mul_(scale)
        shared = torch.linalg.vecdot(d_normed, normed).div_(-normed.shape[-1])[..., None]
        return d_normed.addcmul_(normed, shared).mul_(inverse), d_scale


class Mlp(nn.Sequential):
    """Layers of Linear, RMSNorm and SiLU, followed by a Linear output layer if `outputs` is given.

    Args:
        inputs: width of the input.
        units: width of each layer.
        layers: their number.
        outputs: width of the output layer, or None for no such layer.
        output_scale: of the output layer's initial weight.
    """

    def __init__(
        self, inputs: int, units: int, layers: int, outputs: int | None = None, output_scale: float = 1.0
    ) -> None:
        modules: list[nn.Module] = []
        for layer in range(layers):
            modules += [Linear(inputs if layer == 0 else units, units), NormSiLU(units)]
        if outputs is not None:
            modules.append(Linear(units if layers else inputs, outputs, output_scale))
        super().__init__(*modules)


class Head(Mlp):
    """MLP that reads deter and the latent, dense (..., D + S*C) or as a `Feature` of N rows."""

    def forward(self, x: Tensor | Feature, known: Tensor | None = None) -> Tensor:
        """Return the output layer's values (..., outputs).

        Args:
            x: the input.
            known: the first layer's output for a `Feature` x (N, units), if it has been computed already.
        """
        first = self.first
        y: Tensor = feature_linear(x, first.weight, first.bias, known) if isinstance(x, Feature) else first(x)
        return self.rest(y)

    @property
    def first(self) -> Linear:
        """The first layer, which reads the one-hot latent."""
        layer = self[0]
        assert isinstance(layer, Linear)
        return layer

    def rest(self, y: Tensor) -> Tensor:
        """Return the output of all layers but the first for its output y."""
        for layer in list(self)[1:]:
            y = layer(y)
        return y
