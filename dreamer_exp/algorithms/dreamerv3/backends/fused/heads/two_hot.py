"""Two-hot heads after their last product: expected value, and cross entropy with its gradient (as in maths.py)."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.sizes import BINS

ROW_TILE = 4
COLUMNS = triton.next_power_of_2(BINS)
MIDDLE = (BINS - 1) // 2


def two_hot_mean(raw: Tensor, bias: Tensor, bins: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the expected values (N,) under softmax(raw + bias), exactly 0 for uniform logits; one launch.

    Args:
        raw: (N, 255) float32, product of the output layer, may be columns of a wider tensor.
        bias: (255,).
        bins: (255,), ascending and antisymmetric about the middle.
        out: (N,) float32, the tensor to write to and return.
    """
    rows = len(raw)
    mean = torch.empty(rows, device=raw.device) if out is None else out
    _mean[(triton.cdiv(rows, ROW_TILE),)](
        raw, bias, bins, mean,
        N=rows, STRIDE=raw.stride(0), MIDDLE=MIDDLE, COLUMNS=COLUMNS // 2, ROW_TILE=ROW_TILE,
    )  # fmt: skip
    return mean


def two_hot_loss(
    raw: Tensor,
    bias: Tensor,
    bins: Tensor,
    targets: Sequence[Tensor],
    scales: Sequence[float],
    weight: Tensor | None,
    d_raw: Tensor,
) -> Tensor:
    """Return the cross entropies (N, K) of softmax(raw + bias) and K two-hot targets; one launch.

    Args:
        raw: (N, 255) float32, product of the output layer, may be columns of a wider tensor.
        bias: (255,).
        bins: (255,), ascending.
        targets: one or two (N,) float32, of any stride.
        scales: factor of each target's cross entropies in d_raw; include 1 / N for a mean.
        weight: (N,) float32 of any stride, factor of each row in d_raw; None means ones.
        d_raw: (N, 255), written, of any dtype, may be columns of a wider tensor: gradient of the sum of all scaled and
            weighted cross entropies.

    Returns:
        The cross entropies, not scaled or weighted, contiguous by target: `.t()` has rows (N,) without a copy.
    """
    rows, first, last = len(raw), targets[0], targets[-1]
    losses = torch.empty(len(targets), rows, device=raw.device)
    _loss[(triton.cdiv(rows, ROW_TILE),)](
        raw, bias, bins, first, last, raw if weight is None else weight, losses, d_raw,
        scales[0], scales[-1],
        N=rows, BINS=BINS, COLUMNS=COLUMNS, ROW_TILE=ROW_TILE, TWO=len(targets) == 2, WEIGHTED=weight is not None,
        STRIDE=raw.stride(0), FIRST_STRIDE=first.stride(0), LAST_STRIDE=last.stride(0),
        WEIGHT_STRIDE=0 if weight is None else weight.stride(0), D_STRIDE=d_raw.stride(0),
    )  # fmt: skip
    return losses.t()


@triton.jit
def _mean(
    raw, bias, bins, mean,
    N: tl.constexpr, STRIDE: tl.constexpr, MIDDLE: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
):  # fmt: skip
    """Subtract probabilities in pairs: the bins are antisymmetric about the middle one."""
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    pair = tl.arange(0, COLUMNS)
    exists = pair < MIDDLE
    mask = (row < N)[:, None] & exists[None, :]
    up, down = MIDDLE + 1 + pair, MIDDLE - 1 - pair
    at = raw + row[:, None] * STRIDE
    above = tl.load(at + up[None, :], mask=mask, other=0.0) + tl.load(bias + up, mask=exists, other=0.0)[None, :]
    below = tl.load(at + down[None, :], mask=mask, other=0.0) + tl.load(bias + down, mask=exists, other=0.0)[None, :]
    middle = tl.load(raw + row * STRIDE + MIDDLE, mask=row < N, other=0.0) + tl.load(bias + MIDDLE)
    above = tl.where(exists[None, :], above, float("-inf"))
    below = tl.where(exists[None, :], below, float("-inf"))
    top = tl.maximum(tl.max(tl.maximum(above, below), 1), middle)
    above = tl.exp(above - top[:, None])
    below = tl.exp(below - top[:, None])
    total = (tl.sum(above + below, 1) + tl.exp(middle - top))[:, None]
    value = tl.load(bins + up, mask=exists, other=0.0)[None, :]
    tl.store(mean + row, tl.sum((above / total - below / total) * value, 1), mask=row < N)


@triton.jit
def _encode(
    target, bins, row, column, values, N: tl.constexpr, TARGET_STRIDE: tl.constexpr, BINS: tl.constexpr
):  # fmt: skip
    """Return the two-hot encoding (R, COLUMNS) of some rows' targets; values are the bins, then infinity."""
    x = tl.load(target + row * TARGET_STRIDE, mask=row < N, other=0.0)
    above = tl.sum((values[None, :] <= x[:, None]).to(tl.int32), 1)
    above = tl.minimum(tl.maximum(above, 1), BINS - 1)
    low = tl.load(bins + above - 1)
    share = (x - low) / (tl.load(bins + above) - low)
    share = tl.where(share < 0.0, 0.0, tl.where(share > 1.0, 1.0, share))  # not a clamp, which may drop NaN
    at_low = (column[None, :] == above[:, None] - 1).to(tl.float32) * (1.0 - share)[:, None]
    return at_low + (column[None, :] == above[:, None]).to(tl.float32) * share[:, None]


@triton.jit
def _loss(
    raw, bias, bins, first, last, weight, losses, d_raw, first_scale, last_scale,
    N: tl.constexpr, BINS: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr, TWO: tl.constexpr,
    WEIGHTED: tl.constexpr, STRIDE: tl.constexpr, FIRST_STRIDE: tl.constexpr, LAST_STRIDE: tl.constexpr,
    WEIGHT_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    here = row < N
    column = tl.arange(0, COLUMNS)
    exists = column < BINS
    mask = here[:, None] & exists[None, :]
    logits = tl.load(raw + row[:, None] * STRIDE + column[None, :], mask=mask, other=0.0)
    logits += tl.load(bias + column, mask=exists, other=0.0)[None, :]
    values = tl.load(bins + column, mask=exists, other=float("inf"))
    top = tl.max(tl.where(exists[None, :], logits, float("-inf")), 1)[:, None]
    exponential = tl.where(exists[None, :], tl.exp(logits - top), 0.0)
    total = tl.sum(exponential, 1)
    log_total = tl.log(total)
    probability = exponential / total[:, None]
    logits -= top
    target = _encode(first, bins, row, column, values, N, FIRST_STRIDE, BINS)
    tl.store(losses + row, log_total - tl.sum(target * logits, 1), mask=here)
    gradient = first_scale * (probability - target)
    if TWO:
        target = _encode(last, bins, row, column, values, N, LAST_STRIDE, BINS)
        tl.store(losses + N + row, log_total - tl.sum(target * logits, 1), mask=here)
        gradient += last_scale * (probability - target)
    if WEIGHTED:
        gradient *= tl.load(weight + row * WEIGHT_STRIDE, mask=here, other=0.0)[:, None]
    to = d_raw + row[:, None] * D_STRIDE + column[None, :]
    tl.store(to, gradient.to(d_raw.dtype.element_ty), mask=mask)
