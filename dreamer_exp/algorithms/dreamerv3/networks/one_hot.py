"""Products with the one-hot latent: of its S*C inputs exactly S are ones, so gathering S rows does a product's work.

`rows` (..., S) are the positions of the ones in the flattened latent, s * C + class.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.maths import draw_classes


def sample_rows(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Samples: probabilities (..., S, C), uniform numbers (..., S) in [0, 1) -> rows (..., S)."""
    stoch, classes = probabilities.shape[-2:]
    return draw_classes(probabilities, uniform) + torch.arange(stoch, device=uniform.device) * classes


def one_hot(rows: Tensor, probabilities: Tensor) -> Tensor:
    """The latent (..., S*C) that the rows mean; its gradient is that of its probabilities (..., S, C)."""
    latent: Tensor = _StraightThrough.apply(probabilities, rows)  # type: ignore[no-untyped-call]  # torch's
    return latent


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, rows: Tensor) -> Tensor:
        ctx.shape = probabilities.shape
        return torch.zeros_like(probabilities).flatten(-2).scatter_(-1, rows, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.reshape(ctx.shape), None


def gather_sum(rows: Tensor, table: Tensor) -> Tensor:
    """Sums S rows of the table (S*C, O): rows (N, S) -> (N, O)."""
    return functional.embedding_bag(rows, table, mode="sum")


@dataclass(frozen=True)
class Transposed:
    """Which of N latents have each of the S*C ones: the gather of a weight's gradient. rows (N, S)."""

    rows: Tensor
    width: int  # S*C

    @cached_property
    def _bags(self) -> tuple[Tensor, Tensor]:
        ordered = self.rows.flatten().sort()
        starts = torch.searchsorted(ordered.values, torch.arange(self.width, device=self.rows.device))
        return ordered.indices.div(self.rows.shape[-1], rounding_mode="floor"), starts

    def gather_sum(self, gradient: Tensor) -> Tensor:
        """one_hot.T @ gradient: (N, O) -> (S*C, O)."""
        members, starts = self._bags
        return functional.embedding_bag(members, gradient, starts, mode="sum")


@dataclass(frozen=True)
class Feature:
    """What the heads see, for gathers: deter (N, D), the latent's rows (N, S), its gradient's way (N, S*C) or None."""

    deter: Tensor
    rows: Tensor
    stoch: Tensor | None
    transposed: Transposed

    @staticmethod
    def of(deter: Tensor, rows: Tensor, width: int, stoch: Tensor | None = None) -> "Feature":
        """Any number of leading axes, which are flattened."""
        rows = rows.flatten(0, -2)
        return Feature(
            deter.flatten(0, -2), rows, None if stoch is None else stoch.flatten(0, -2), Transposed(rows, width)
        )


def join(features: "list[Tensor | Feature]") -> Tensor | Feature:
    """One after the other, without history."""
    if isinstance(features[0], Tensor):
        return torch.cat([feature for feature in features if isinstance(feature, Tensor)])
    parts = [feature for feature in features if isinstance(feature, Feature)]
    return Feature.of(
        torch.cat([part.deter for part in parts]), torch.cat([part.rows for part in parts]), parts[0].transposed.width
    )


def feature_product(feature: Feature, table: Tensor, bias: Tensor) -> Tensor:
    """The affine map of [deter, latent] (N, O), without gradient; table (D + S*C, O), the weight transposed."""
    split = feature.deter.shape[-1]
    return gather_sum(feature.rows, table[split:]).add_(bias).addmm_(feature.deter, table[:split])


def feature_linear(feature: Feature, weight: Tensor, bias: Tensor, known: Tensor | None = None) -> Tensor:
    """The same with gradient; weight (O, D + S*C). A product that is known already isn't computed again."""
    product: Tensor = _FeatureLinear.apply(  # type: ignore[no-untyped-call]  # torch's
        feature.deter, feature.stoch, weight, bias, feature, known
    )
    return product


class _FeatureLinear(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  # torch passes by position
        ctx: Any,
        deter: Tensor,
        stoch: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        feature: Feature,
        known: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(deter, weight)
        ctx.transposed = feature.transposed
        return feature_product(feature, weight.t().contiguous(), bias) if known is None else known.view_as(known)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        deter, weight = ctx.saved_tensors
        split = deter.shape[-1]
        needs_deter, needs_stoch, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        to_weight = None
        if needs_weight:
            to_weight = torch.empty_like(weight)
            torch.mm(gradient.t(), deter, out=to_weight[:, :split])
            to_weight[:, split:] = ctx.transposed.gather_sum(gradient.contiguous()).t()
        return (
            gradient @ weight[:, :split] if needs_deter else None,
            gradient @ weight[:, split:] if needs_stoch else None,
            to_weight,
            gradient.sum(0) if needs_bias else None,
            None,
            None,
        )
