"""What the persistent kernels share: sizes, a barrier of all programs, loads of other programs' results, a product."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import INTERPRETED

SPLITS = tl.constexpr(4)  # of a product's inner dimension, one per warp


class ScanSizes(NamedTuple):
    """Compile-time constants of both scans; README.md explains the letters."""

    STEPS: Any  # T
    B: Any
    D: Any
    K: Any  # units of a block, D / G
    KP: Any  # *P: the power of two that holds it
    U: Any  # units of the hidden layers
    UP: Any
    E: Any
    S: Any
    SP: Any
    C: Any
    CP: Any
    F: Any  # width of a feature, D + S*C
    L: Any  # width of the latent, S*C
    TN: Any  # columns of a tile
    CT: Any  # categoricals of a tile
    DTP: Any  # number of tiles of D and of U columns, as powers of two
    UTP: Any
    BK: Any  # inner dimension of a product that a program takes at once: generally, of logits, of gates
    BKL: Any
    BKG: Any
    CTAS: Any  # programs for each 16 rows
    EPSILON: Any  # of RMSNorm
    UNIMIX: Any
    DOT: Any  # input_precision of tl.dot
    PERSISTENT: Any  # all steps and stages in one launch


class Place(NamedTuple):
    """A program's place in the grid, and the barrier before its stage.

    Fields: counter () int32 of arrivals, the number of arrivals to wait for, the program's number among those that
    share 16 rows, and the first of these rows.
    """

    counter: Any
    arrivals: Any
    program: Any
    row0: Any


@triton.jit
def load_l2(pointers, mask, other):
    """Load past the L1 cache, which isn't coherent between programs; required for what other programs wrote."""
    return tl.load(pointers, mask=mask, other=other, cache_modifier=".cg")


@triton.jit
def after_loads(x):
    """Return x, which was loaded, at a point where all loads before it have been issued.

    Otherwise the compiler interleaves a tile's loads with instructions that wait for the first of them.
    """
    if INTERPRETED:
        return x
    tl.debug_barrier()
    return tl.inline_asm_elementwise(
        "mov.b32 $0, $1;", "=r,r", [x], dtype=x.dtype, is_pure=False, pack=32 // x.dtype.primitive_bitwidth
    )


@triton.jit
def arrive(counter):
    """Count an arrival of this program, after everything that it stored."""
    tl.debug_barrier()  # every warp's stores come before the one thread's release
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def wait(place, PERSISTENT: tl.constexpr):
    """Wait for all arrivals before this stage; the programs that arrive must be resident at the same time.

    It reads volatile, because atomics would serialise the waiting programs. A stage first loads what no program of the
    grid writes, such as weights, so that this data is there when the wait ends.
    """
    if PERSISTENT:
        while tl.load(place.counter, volatile=True) < place.arrivals:
            pass
        tl.debug_barrier()


@triton.jit
def weight_tile(  # noqa: PLR0917
    weight, cols, k0, K_STRIDE: tl.constexpr, N_STRIDE: tl.constexpr, WIDTH: tl.constexpr, BK: tl.constexpr
):
    """Load rows k0 to k0 + BK of some columns of a weight (WIDTH, N), in the layout of `row_product`."""
    part: tl.constexpr = BK // SPLITS
    k = k0 + tl.arange(0, SPLITS)[:, None] * part + tl.arange(0, part)[None, :]
    at = weight + k[:, :, None] * K_STRIDE + cols[None, None, :] * N_STRIDE
    return tl.load(at, mask=(k < WIDTH)[:, :, None], other=0.0)


@triton.jit
def row_product(  # noqa: PLR0917
    x, rows, weight, cols, first,
    X_STRIDE: tl.constexpr, K_STRIDE: tl.constexpr, N_STRIDE: tl.constexpr,
    WIDTH: tl.constexpr, BK: tl.constexpr, ROWS: tl.constexpr, TN: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Return x (B, WIDTH) @ weight (WIDTH, N) for some rows and TN columns: (ROWS, TN) float32.

    x is in the operand dtype and written by other programs. Its rows are X_STRIDE apart, those of the weight K_STRIDE
    and the weight's columns N_STRIDE. `first` is `weight_tile` of row 0. Each warp sums its own part of WIDTH.
    """
    part: tl.constexpr = BK // SPLITS
    acc = tl.zeros((SPLITS, ROWS, TN), tl.float32)
    b = first
    for k0 in tl.static_range(0, WIDTH, BK):
        k = k0 + tl.arange(0, SPLITS)[:, None] * part + tl.arange(0, part)[None, :]
        a = load_l2(x + rows[None, :, None] * X_STRIDE + k[:, None, :], (k < WIDTH)[:, None, :], 0.0)
        if k0 > 0:
            b = weight_tile(weight, cols, k0, K_STRIDE, N_STRIDE, WIDTH, BK)
        acc = tl.dot(after_loads(a), b, acc, input_precision=DOT)
    return tl.sum(acc, 0)
