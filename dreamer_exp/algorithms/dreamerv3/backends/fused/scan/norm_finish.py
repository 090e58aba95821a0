"""The last part of a norm's gradient after a scan, for all steps at once: what `keep_normed` stored becomes d_pre."""

import triton
import triton.language as tl
from torch import Tensor

COLUMNS, ROWS = 32, 128
FLOOR = 1e-30  # of a scale's size, which divides; what was stored carries the scale as a factor


def norm_finish(  # noqa: PLR0917
    d_normed: Tensor, normed: Tensor, inverse: Tensor, shares: Tensor, scale: Tensor,
    d_pre: Tensor, d_scale: Tensor, d_bias: Tensor,
) -> None:  # fmt: skip
    """Writes d_pre (N, W) operand dtype, d_scale and d_bias (W,) float32; one launch.

    d_normed, normed: (N, W) operand dtype, columns of wider tensors at will; inverse (N,); shares (N, tiles), columns
    at will; scale (W,), of which none is zero.
    """
    rows, width = d_normed.shape
    tiles = shares.shape[1]
    _finish[(triton.cdiv(width, COLUMNS),)](
        d_normed, normed, inverse, shares, scale, d_pre, d_scale, d_bias,
        d_normed.stride(0), normed.stride(0), shares.stride(0), d_pre.stride(0),
        N=rows, W=width, TILES=tiles, TP=triton.next_power_of_2(tiles), CN=COLUMNS, RN=ROWS, LEAST=FLOOR,
    )  # fmt: skip


@triton.jit
def _finish(  # noqa: PLR0917
    d_normed, normed, inverse, shares, scale, d_pre, d_scale, d_bias,
    d_normed_stride, normed_stride, shares_stride, d_pre_stride,
    N: tl.constexpr, W: tl.constexpr, TILES: tl.constexpr, TP: tl.constexpr, CN: tl.constexpr, RN: tl.constexpr,
    LEAST: tl.constexpr,
):  # fmt: skip
    cols = tl.program_id(0) * CN + tl.arange(0, CN)
    inside = cols < W
    p = tl.arange(0, TP)
    to_scale = tl.zeros((CN,), tl.float32)
    to_bias = tl.zeros((CN,), tl.float32)
    for first in range(0, N, RN):
        rows = first + tl.arange(0, RN)
        there = rows < N
        mask = there[:, None] & inside[None, :]
        shared = there[:, None] & (p < TILES)[None, :]
        share = tl.load(shares + rows[:, None] * shares_stride + p[None, :], mask=shared, other=0.0)
        mean = tl.sum(share, 1) / W
        r = tl.load(inverse + rows, mask=there, other=0.0)
        d = tl.load(d_normed + rows[:, None] * d_normed_stride + cols[None, :], mask=mask, other=0.0).to(tl.float32)
        x = tl.load(normed + rows[:, None] * normed_stride + cols[None, :], mask=mask, other=0.0).to(tl.float32)
        pre = r[:, None] * (d - mean[:, None] * x)
        tl.store(d_pre + rows[:, None] * d_pre_stride + cols[None, :], pre.to(d_pre.dtype.element_ty), mask=mask)
        to_scale += tl.sum(d * x, 0)
        to_bias += tl.sum(pre, 0)
    s = tl.load(scale + cols, mask=inside, other=1.0)
    s = tl.where(tl.abs(s) < LEAST, LEAST, s)
    tl.store(d_scale + cols, to_scale / s, mask=inside)
    tl.store(d_bias + cols, to_bias, mask=inside)
