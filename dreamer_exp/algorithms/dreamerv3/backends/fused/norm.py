"""SiLU(RMSNorm(product + bias) * scale) of complete rows, and its gradient: layers.NormSiLU after a linear layer."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON

ELEMENTS = 2048  # processed by a program at a time; more if one row is longer
MOST_ROWS = 16
MOST_PROGRAMS = 528  # for the gradient: four per multiprocessor of a large GPU; each writes a partial sum
SUMMED_COLUMNS, SUMMED_ROWS = 32, 128


def norm_silu(
    pre: Tensor,
    bias: Tensor,
    scale: Tensor,
    out: Tensor,
    normed: Tensor | None = None,
    slope: Tensor | None = None,
    inverse: Tensor | None = None,
) -> None:
    """Write SiLU(RMSNorm(pre + bias) * scale) to `out`, and optionally what a backward scan needs; one launch.

    Let x = pre + bias and r = 1 / RMS(x). All tensors but the vectors may be columns of wider tensors.

    Args:
        pre: (N, O) float32, product of the linear layer.
        bias: (O,) float32.
        scale: (O,) float32.
        out: (N, O) of any dtype, written.
        normed: (N, O) of any dtype, written: x r.
        slope: (N, O) of any dtype, written: silu'(x r scale) scale.
        inverse: (N,) float32, written: r.
    """
    rows, width = pre.shape
    tiles, row_tile, columns, warps = _tiles(rows, width)
    _forward[(tiles,)](
        pre, bias, scale, out, out if normed is None else normed, out if slope is None else slope,
        pre if inverse is None else inverse,
        N=rows, WIDTH=width, COLUMNS=columns, ROW_TILE=row_tile, EPSILON=RMS_EPSILON,
        PRE_STRIDE=pre.stride(0), OUT_STRIDE=out.stride(0),
        NORMED_STRIDE=0 if normed is None else normed.stride(0), SLOPE_STRIDE=0 if slope is None else slope.stride(0),
        WITH_NORMED=normed is not None, WITH_SLOPE=slope is not None, WITH_INVERSE=inverse is not None,
        num_warps=warps,
    )  # fmt: skip


def norm_silu_backward(
    d_out: Tensor,
    pre: Tensor,
    bias: Tensor,
    scale: Tensor,
    d_pre: Tensor,
    d_scale: Tensor | None,
    d_bias: Tensor | None,
) -> None:
    """Write the gradients of `norm_silu`; the result is deterministic. Two launches, one without d_scale and d_bias.

    d_out, pre and d_pre may be columns of wider tensors.

    Args:
        d_out: (N, O), gradient of `out`.
        pre: as for `norm_silu`.
        bias: as for `norm_silu`.
        scale: as for `norm_silu`.
        d_pre: (N, O) of any dtype, written.
        d_scale: (O,) float32, written.
        d_bias: (O,) float32, written.
    """
    rows, width = pre.shape
    tiles, row_tile, columns, warps = _tiles(rows, width)
    summed = d_scale is not None and d_bias is not None
    programs = min(tiles, MOST_PROGRAMS) if summed else tiles
    partial = torch.empty(2, programs, width, device=pre.device) if summed else pre
    _backward[(programs,)](
        d_out, pre, bias, scale, d_pre, partial,
        N=rows, WIDTH=width, COLUMNS=columns, ROW_TILE=row_tile, EPSILON=RMS_EPSILON,
        PROGRAMS=programs, TURNS=triton.cdiv(tiles, programs),
        D_OUT_STRIDE=d_out.stride(0), PRE_STRIDE=pre.stride(0), D_PRE_STRIDE=d_pre.stride(0), SUMMED=summed,
        num_warps=warps,
    )  # fmt: skip
    if summed:
        _sum_partials[(triton.cdiv(width, SUMMED_COLUMNS), 2)](
            partial, d_scale, d_bias,
            WIDTH=width, PROGRAMS=programs, COLUMNS=SUMMED_COLUMNS, ROW_TILE=SUMMED_ROWS,
        )  # fmt: skip


def _tiles(rows: int, width: int) -> tuple[int, int, int, int]:
    """Return the number of row tiles, the rows of each, the columns (a power of two) and the warps."""
    columns = triton.next_power_of_2(width)
    row_tile = min(max(ELEMENTS // columns, 1), MOST_ROWS)
    return triton.cdiv(rows, row_tile), row_tile, columns, min(max(row_tile * columns // 512, 1), 16)


@triton.jit
def _forward(
    pre, bias, scale, out, normed, slope, inverse,
    N: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr, EPSILON: tl.constexpr,
    PRE_STRIDE: tl.constexpr, OUT_STRIDE: tl.constexpr, NORMED_STRIDE: tl.constexpr, SLOPE_STRIDE: tl.constexpr,
    WITH_NORMED: tl.constexpr, WITH_SLOPE: tl.constexpr, WITH_INVERSE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    column = tl.arange(0, COLUMNS)
    inside = column < WIDTH
    mask = (row < N)[:, None] & inside[None, :]
    x = tl.load(pre + row[:, None] * PRE_STRIDE + column[None, :], mask=mask, other=0.0)
    x += tl.load(bias + column, mask=inside, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=inside, other=0.0)[None, :]
    r = tl.rsqrt(tl.sum(x * x, 1) / WIDTH + EPSILON)
    x *= r[:, None]
    scaled = x * factor
    gate = sigmoid(scaled)
    to = out + row[:, None] * OUT_STRIDE + column[None, :]
    tl.store(to, (scaled * gate).to(out.dtype.element_ty), mask=mask)
    if WITH_NORMED:
        to = normed + row[:, None] * NORMED_STRIDE + column[None, :]
        tl.store(to, x.to(normed.dtype.element_ty), mask=mask)
    if WITH_SLOPE:
        to = slope + row[:, None] * SLOPE_STRIDE + column[None, :]
        tl.store(to, (gate * (1.0 + scaled * (1.0 - gate)) * factor).to(slope.dtype.element_ty), mask=mask)
    if WITH_INVERSE:
        tl.store(inverse + row, r, mask=row < N)


@triton.jit
def _backward(
    d_out, pre, bias, scale, d_pre, partial,
    N: tl.constexpr, WIDTH: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr, EPSILON: tl.constexpr,
    PROGRAMS: tl.constexpr, TURNS: tl.constexpr, D_OUT_STRIDE: tl.constexpr, PRE_STRIDE: tl.constexpr,
    D_PRE_STRIDE: tl.constexpr, SUMMED: tl.constexpr,
):  # fmt: skip
    """Process every PROGRAMS-th row tile; partial (2, PROGRAMS, O) takes each program's sums for d_scale and d_bias."""
    program = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    inside = column < WIDTH
    shift = tl.load(bias + column, mask=inside, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=inside, other=0.0)[None, :]
    to_scale = tl.zeros((ROW_TILE, COLUMNS), tl.float32)
    to_bias = tl.zeros((ROW_TILE, COLUMNS), tl.float32)
    for turn in range(0, TURNS):
        row = (turn * PROGRAMS + program) * ROW_TILE + tl.arange(0, ROW_TILE)
        mask = (row < N)[:, None] & inside[None, :]
        x = tl.load(pre + row[:, None] * PRE_STRIDE + column[None, :], mask=mask, other=0.0) + shift
        d = tl.load(d_out + row[:, None] * D_OUT_STRIDE + column[None, :], mask=mask, other=0.0).to(tl.float32)
        r = tl.rsqrt(tl.sum(x * x, 1) / WIDTH + EPSILON)[:, None]
        x *= r
        scaled = x * factor
        gate = sigmoid(scaled)
        d *= gate * (1.0 + scaled * (1.0 - gate))
        if SUMMED:
            to_scale += d * x
        d *= factor
        d = r * (d - x * (tl.sum(d * x, 1) / WIDTH)[:, None])
        if SUMMED:
            to_bias += tl.where(mask, d, 0.0)
        tl.store(d_pre + row[:, None] * D_PRE_STRIDE + column[None, :], d.to(d_pre.dtype.element_ty), mask=mask)
    if SUMMED:
        to = partial + program * WIDTH + column
        tl.store(to, tl.sum(to_scale, 0), mask=inside)
        tl.store(to + PROGRAMS * WIDTH, tl.sum(to_bias, 0), mask=inside)


@triton.jit
def _sum_partials(
    partial, d_scale, d_bias,
    WIDTH: tl.constexpr, PROGRAMS: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
):  # fmt: skip
    """Sum d_scale (program_id(1) is 0) or d_bias (1); grid (column tiles, 2)."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < WIDTH
    which = tl.program_id(1)
    total = tl.zeros((ROW_TILE, COLUMNS), tl.float32)
    for first in range(0, PROGRAMS, ROW_TILE):
        row = first + tl.arange(0, ROW_TILE)
        at = partial + (which * PROGRAMS + row)[:, None] * WIDTH + column[None, :]
        total += tl.load(at, mask=(row < PROGRAMS)[:, None] & inside[None, :], other=0.0)
    summed = tl.sum(total, 0)
    if which == 0:
        tl.store(d_scale + column, summed, mask=inside)
    else:
        tl.store(d_bias + column, summed, mask=inside)
