"""The last part of a norm's gradient after a scan, for all steps at once, from what `store_norm_gradient` stored."""

import triton
import triton.language as tl
from torch import Tensor

COLUMNS, ROWS = 32, 128
FLOOR = 1e-30  # least size of a scale, which divides: the stored gradients contain the scale as a factor


def norm_finish(  # noqa: PLR0917
    d_normed: Tensor, normed: Tensor, inverse: Tensor, partials: Tensor, scale: Tensor,
    d_pre: Tensor, d_scale: Tensor, d_bias: Tensor,
) -> None:  # fmt: skip
    """Write the gradients of a norm's input and parameters; one launch.

    d_normed, normed, partials and d_pre may be columns of wider tensors.

    Args:
        d_normed: (N, W), operand dtype, gradient of the normed input, with the scale as a factor.
        normed: (N, W), operand dtype.
        inverse: (N,), 1 / RMS.
        partials: (N, tiles), sums of d_normed * normed over the tiles of a row.
        scale: (W,), none zero.
        d_pre: (N, W), operand dtype, written.
        d_scale: (W,) float32, written.
        d_bias: (W,) float32, written.
    """
    rows, width = d_normed.shape
    tiles = partials.shape[1]
    _finish[(triton.cdiv(width, COLUMNS),)](
        d_normed, normed, inverse, partials, scale, d_pre, d_scale, d_bias,
        d_normed.stride(0), normed.stride(0), partials.stride(0), d_pre.stride(0),
        N=rows, W=width, TILES=tiles, TP=triton.next_power_of_2(tiles), CN=COLUMNS, RN=ROWS, LEAST=FLOOR,
    )  # fmt: skip


@triton.jit
def _finish(  # noqa: PLR0917
    d_normed, normed, inverse, partials, scale, d_pre, d_scale, d_bias,
    d_normed_stride, normed_stride, partials_stride, d_pre_stride,
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
        exist = rows < N
        mask = exist[:, None] & inside[None, :]
        is_tile = exist[:, None] & (p < TILES)[None, :]
        of_tiles = tl.load(partials + rows[:, None] * partials_stride + p[None, :], mask=is_tile, other=0.0)
        mean = tl.sum(of_tiles, 1) / W
        r = tl.load(inverse + rows, mask=exist, other=0.0)
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
