"""Losses of decoder and continue head after their last product, with gradients (losses.world_model_losses)."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid

ELEMENTS = 1024  # processed by a program; more if one row is longer
CONTINUE_ROWS = 128


def squared_error(
    raw: Tensor, bias: Tensor, target: Tensor, weights: Tensor | None, scale: float, d_raw: Tensor
) -> Tensor:
    """Return the squared errors of raw + bias, summed over O: (1, N), or (2, N) unweighted and weighted; one launch.

    Args:
        raw: (N, O) float32, product of the output layer, may be columns of a wider tensor.
        bias: (O,).
        target: (N, O) float32, may be columns of a wider tensor.
        weights: (O,) float32, of the elements' squared errors; None means ones, and there is one row of errors.
        scale: of the loss.
        d_raw: (N, O), written, any dtype, may be columns of a wider tensor: gradient of scale times the mean over N of
            the weighted errors.
    """
    rows, width = raw.shape
    columns = triton.next_power_of_2(width)
    row_tile = max(ELEMENTS // columns, 1)
    loss = torch.empty(1 if weights is None else 2, rows, device=raw.device)
    _squared_error[(triton.cdiv(rows, row_tile),)](
        raw, bias, target, bias if weights is None else weights, loss, d_raw, 2.0 * scale / rows,
        WEIGHTED=weights is not None, N=rows, WIDTH=width, COLUMNS=columns, ROW_TILE=row_tile,
        STRIDE=raw.stride(0), TARGET_STRIDE=target.stride(0), D_STRIDE=d_raw.stride(0),
        num_warps=min(max(columns // 256, 4), 16),
    )  # fmt: skip
    return loss


def continue_loss(raw: Tensor, bias: Tensor, target: Tensor, scale: float, d_raw: Tensor) -> Tensor:
    """Return the binary cross entropy (N,) of the logit raw + bias; one launch.

    Args:
        raw: (N, 1) float32, product of the output layer, of any strides.
        bias: (1,).
        target: (N,) float32 probability that the episode continues, of any stride.
        scale: of the loss.
        d_raw: (N, 1), written, any dtype and strides: gradient of scale times the mean over N.
    """
    rows = len(raw)
    loss = torch.empty(rows, device=raw.device)
    _continue_loss[(triton.cdiv(rows, CONTINUE_ROWS),)](
        raw, bias, target, loss, d_raw, scale,
        N=rows, ROW_TILE=CONTINUE_ROWS,
        STRIDE=raw.stride(0), TARGET_STRIDE=target.stride(0), D_STRIDE=d_raw.stride(0),
    )  # fmt: skip
    return loss


@triton.jit
def _squared_error(
    raw, bias, target, weights, loss, d_raw, scale,
    WEIGHTED: tl.constexpr, N: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
    STRIDE: tl.constexpr, TARGET_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    column = tl.arange(0, COLUMNS)
    inside = column < WIDTH
    mask = (row < N)[:, None] & inside[None, :]
    error = tl.load(raw + row[:, None] * STRIDE + column[None, :], mask=mask, other=0.0)
    error += tl.load(bias + column, mask=inside, other=0.0)[None, :]
    error -= tl.load(target + row[:, None] * TARGET_STRIDE + column[None, :], mask=mask, other=0.0)
    tl.store(loss + row, tl.sum(error * error, 1), mask=row < N)
    if WEIGHTED:
        weighted = error * tl.load(weights + column, mask=inside, other=0.0)[None, :]
        tl.store(loss + N + row, tl.sum(error * weighted, 1), mask=row < N)
        error = weighted
    to = d_raw + row[:, None] * D_STRIDE + column[None, :]
    tl.store(to, (error * scale).to(d_raw.dtype.element_ty), mask=mask)


@triton.jit
def _continue_loss(
    raw, bias, target, loss, d_raw, scale,
    N: tl.constexpr, ROW_TILE: tl.constexpr,
    STRIDE: tl.constexpr, TARGET_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    here = row < N
    logit = tl.load(raw + row * STRIDE, mask=here, other=0.0) + tl.load(bias)
    wanted = tl.load(target + row * TARGET_STRIDE, mask=here, other=0.0)
    softplus = tl.where(logit < 0.0, 0.0, logit) + tl.log(1.0 + tl.exp(-tl.abs(logit)))
    tl.store(loss + row, softplus - logit * wanted, mask=here)
    tl.store(d_raw + row * D_STRIDE, (scale * (sigmoid(logit) - wanted) / N).to(d_raw.dtype.element_ty), mask=here)
