"""Products with the one-hot latent as gathers: S of its S*C entries are ones, so S rows of the weight are summed.

`rows` (..., S) are the positions of the ones in the flattened latent: s*C + class.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.categorical import draw_classes


def sample_rows(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return rows (..., S) drawn from probabilities (..., S, C) with noise (..., S) in [0, 1)."""
    stoch, classes = probabilities.shape[-2:]
    return draw_classes(probabilities, uniform) + torch.arange(stoch, device=uniform.device) * classes


def one_hot(rows: Tensor, probabilities: Tensor) -> Tensor:
    """Return the latent (..., S*C) of these rows; its gradient goes to the probabilities (..., S, C) unchanged."""
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
    """Return the sum of S rows of the table (S*C, O) for each latent: rows (N, S) -> (N, O)."""
    return functional.embedding_bag(rows, table, mode="sum")


@dataclass(frozen=True)
class Transposed:
    """For each of the S*C entries, which of N latents have it: the gather of a weight's gradient.

    Attributes:
        rows: (N, S).
        width: S*C.
    """

    rows: Tensor
    width: int

    @cached_property
    def _bags(self) -> tuple[Tensor, Tensor]:
        """The latents (N*S,) in the order of their entries, and where each entry's begin (S*C,)."""
        ordered = self.rows.flatten().sort()
        starts = torch.searchsorted(ordered.values, torch.arange(self.width, device=self.rows.device))
        return ordered.indices.div(self.rows.shape[-1], rounding_mode="floor"), starts

    def gather_sum(self, gradient: Tensor) -> Tensor:
        """Return ``one_hot.T @ gradient``: (N, O) -> (S*C, O)."""
        members, starts = self._bags
        return functional.embedding_bag(members, gradient, starts, mode="sum")


@dataclass(frozen=True)
class Feature:
    """Input of the heads in a form for gathers.

    Attributes:
        deter: (N, D).
        rows: of the latent (N, S).
        stoch: the latent (N, S*C), which receives its gradient, or None without gradient.
        transposed: the gather of a weight's gradient.
    """

    deter: Tensor
    rows: Tensor
    stoch: Tensor | None
    transposed: Transposed

    @staticmethod
    def of(deter: Tensor, rows: Tensor, width: int, stoch: Tensor | None = None) -> "Feature":
        """Return the feature of deter (..., D), rows (..., S) and stoch (..., width); leading axes are flattened."""
        rows = rows.flatten(0, -2)
        return Feature(
            deter.flatten(0, -2), rows, None if stoch is None else stoch.flatten(0, -2), Transposed(rows, width)
        )


def join(features: "list[Tensor | Feature]") -> Tensor | Feature:
    """Return the features concatenated along their rows; those of type `Feature` without gradient."""
    if isinstance(features[0], Tensor):
        return torch.cat([feature for feature in features if isinstance(feature, Tensor)])
    gathers = [feature for feature in features if isinstance(feature, Feature)]
    deter, rows = torch.cat([gather.deter for gather in gathers]), torch.cat([gather.rows for gather in gathers])
    return Feature.of(deter, rows, gathers[0].transposed.width)


def feature_product(feature: Feature, table: Tensor, bias: Tensor) -> Tensor:
    """Return the affine map (N, O) of a feature, without gradient.

    Args:
        feature: of N rows.
        table: the transposed weight (D + S*C, O).
        bias: (O,).
    """
    split = feature.deter.shape[-1]
    return gather_sum(feature.rows, table[split:]).add_(bias).addmm_(feature.deter, table[:split])


def feature_linear(feature: Feature, weight: Tensor, bias: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the affine map (N, O) of a feature, with gradient.

    Args:
        feature: of N rows.
        weight: (O, D + S*C).
        bias: (O,).
        known: the result (N, O), if it has been computed already; only its gradient is added.
    """
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
        d_weight = None
        if needs_weight:
            d_weight = torch.empty_like(weight)
            torch.mm(gradient.t(), deter, out=d_weight[:, :split])
            d_weight[:, split:] = ctx.transposed.gather_sum(gradient.contiguous()).t()
        return (
            gradient @ weight[:, :split] if needs_deter else None,
            gradient @ weight[:, split:] if needs_stoch else None,
            d_weight,
            gradient.sum(0) if needs_bias else None,
            None,
            None,
        )
