"""The decoder's and the continue head's losses behind their raw products, with gradients (losses.py)."""
# ruff: noqa: PLR0917  # a kernel takes every pointer and size it uses

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid

NUMBERS = 1024  # that a program works on, if one row isn't more
CONTINUE_ROWS = 128


def squared_error(raw: Tensor, bias: Tensor, target: Tensor, d_raw: Tensor) -> Tensor:
    """Squared error of raw + bias (N,), summed over O; d_raw is the gradient of its mean over N; one launch.

    raw, target (N, O) float32, bias (O,), d_raw (N, O) of any dtype, written; all but bias may be columns of wider
    tensors.
    """
    rows, width = raw.shape
    columns = triton.next_power_of_2(width)
    row_tile = max(NUMBERS // columns, 1)
    loss = torch.empty(rows, device=raw.device)
    _squared_error[(triton.cdiv(rows, row_tile),)](
        raw, bias, target, loss, d_raw,
        N=rows, WIDTH=width, COLUMNS=columns, ROW_TILE=row_tile,
        STRIDE=raw.stride(0), TARGET_STRIDE=target.stride(0), D_STRIDE=d_raw.stride(0),
        num_warps=min(max(columns // 256, 4), 16),
    )  # fmt: skip
    return loss


def continue_loss(raw: Tensor, bias: Tensor, target: Tensor, d_raw: Tensor) -> Tensor:
    """Binary cross entropy of the logit raw + bias (N,); d_raw is the gradient of its mean over N; one launch.

    raw (N, 1) float32, bias (1,), target (N,) chance of going on, d_raw (N, 1) of any dtype, written; any strides.
    """
    rows = len(raw)
    loss = torch.empty(rows, device=raw.device)
    _continue_loss[(triton.cdiv(rows, CONTINUE_ROWS),)](
        raw, bias, target, loss, d_raw,
        N=rows, ROW_TILE=CONTINUE_ROWS,
        STRIDE=raw.stride(0), TARGET_STRIDE=target.stride(0), D_STRIDE=d_raw.stride(0),
    )  # fmt: skip
    return loss


@triton.jit
def _squared_error(
    raw, bias, target, loss, d_raw,
    N: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
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
    to = d_raw + row[:, None] * D_STRIDE + column[None, :]
    tl.store(to, (error * (2.0 / N)).to(d_raw.dtype.element_ty), mask=mask)


@triton.jit
def _continue_loss(
    raw, bias, target, loss, d_raw,
    N: tl.constexpr, ROW_TILE: tl.constexpr,
    STRIDE: tl.constexpr, TARGET_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    here = row < N
    logit = tl.load(raw + row * STRIDE, mask=here, other=0.0) + tl.load(bias)
    wanted = tl.load(target + row * TARGET_STRIDE, mask=here, other=0.0)
    softplus = tl.where(logit < 0.0, 0.0, logit) + tl.log(1.0 + tl.exp(-tl.abs(logit)))
    tl.store(loss + row, softplus - logit * wanted, mask=here)
    tl.store(d_raw + row * D_STRIDE, ((sigmoid(logit) - wanted) / N).to(d_raw.dtype.element_ty), mask=here)
