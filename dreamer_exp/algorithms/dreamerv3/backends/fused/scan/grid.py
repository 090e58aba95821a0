"""What a persistent kernel needs: a barrier of all its programs, loads that see what other programs wrote, and a
product of such rows."""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import INTERPRETED

PARTS = tl.constexpr(4)  # of a product's inner dimension, one a warp


@triton.jit
def fresh(pointers, mask, other):
    """Loads past the L1 cache, which isn't coherent between programs; what no other program writes may use tl.load."""
    return tl.load(pointers, mask=mask, other=other, cache_modifier=".cg")


@triton.jit
def under_way(x):
    """x, which was loaded, after a point by which every load before it has been sent off.

    Without it the compiler mixes the loads of a tile with what waits for the first of them.
    """
    if INTERPRETED:
        return x
    tl.debug_barrier()
    return tl.inline_asm_elementwise(
        "mov.b32 $0, $1;", "=r,r", [x], dtype=x.dtype, is_pure=False, pack=32 // x.dtype.primitive_bitwidth
    )


@triton.jit
def arrive(counter):
    """Adds an arrival of this program to `counter` () int32, behind everything that it stored."""
    tl.debug_barrier()  # every warp's stores come before the one thread's release
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def wait(counter, arrivals, PERSISTENT: tl.constexpr):
    """Until `counter` had this many arrivals; all programs that arrive must be resident at once.

    A volatile read, which unlike an atomic doesn't serialise the waiting programs. What a stage loads before it, is
    there when the wait is over: weights, and whatever no program of the grid writes.
    """
    if PERSISTENT:
        while tl.load(counter, volatile=True) < arrivals:
            pass
        tl.debug_barrier()


@triton.jit
def factor(  # noqa: PLR0917
    weight, cols, k0, K_STRIDE: tl.constexpr, N_STRIDE: tl.constexpr, WIDTH: tl.constexpr, BK: tl.constexpr
):
    """BK rows, from k0 on, of a weight (WIDTH, N) and some of its columns, as `row_product` takes them."""
    part: tl.constexpr = BK // PARTS
    k = k0 + tl.arange(0, PARTS)[:, None] * part + tl.arange(0, part)[None, :]
    places = weight + k[:, :, None] * K_STRIDE + cols[None, None, :] * N_STRIDE
    return tl.load(places, mask=(k < WIDTH)[:, :, None], other=0.0)


@triton.jit
def row_product(  # noqa: PLR0917
    x, rows, weight, cols, first,
    X_STRIDE: tl.constexpr, K_STRIDE: tl.constexpr, N_STRIDE: tl.constexpr,
    WIDTH: tl.constexpr, BK: tl.constexpr, ROWS: tl.constexpr, TN: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """x (B, WIDTH) @ weight (WIDTH, N) of some rows and TN columns: (ROWS, TN) float32, BK of WIDTH at a time.

    x is operand that other programs wrote; its rows are X_STRIDE apart, weight's K_STRIDE and its columns N_STRIDE.
    first is the weight's `factor` from 0 on. Each warp sums a part of WIDTH by itself.
    """
    part: tl.constexpr = BK // PARTS
    acc = tl.zeros((PARTS, ROWS, TN), tl.float32)
    b = first
    for k0 in tl.static_range(0, WIDTH, BK):
        k = k0 + tl.arange(0, PARTS)[:, None] * part + tl.arange(0, part)[None, :]
        a = fresh(x + rows[None, :, None] * X_STRIDE + k[:, None, :], (k < WIDTH)[:, None, :], 0.0)
        if k0 > 0:
            b = factor(weight, cols, k0, K_STRIDE, N_STRIDE, WIDTH, BK)
        acc = tl.dot(under_way(a), b, acc, input_precision=DOT)
    return tl.sum(acc, 0)
