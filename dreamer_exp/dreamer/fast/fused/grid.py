"""What a persistent kernel needs: a barrier of all its programs, loads that see what other programs wrote, and a
product of such rows."""

import triton
import triton.language as tl


@triton.jit
def fresh(pointers, mask, other):
    """Loads past the L1 cache, which isn't coherent between programs; what no other program writes may use tl.load."""
    return tl.load(pointers, mask=mask, other=other, cache_modifier=".cg")


@triton.jit
def barrier(counter, arrivals):
    """Waits until `counter` () int32 has had this many arrivals, one a program; they must all be resident at once.

    The release makes what this program stored visible before its arrival; the spin is a volatile read, which unlike
    an atomic doesn't serialise the waiting programs.
    """
    tl.debug_barrier()  # every warp's stores come before the one thread's release
    tl.atomic_add(counter, 1, sem="release", scope="gpu")
    while tl.load(counter, volatile=True) < arrivals:
        pass
    tl.debug_barrier()


@triton.jit
def row_product(  # noqa: PLR0917
    x, rows, weight, cols,
    X_STRIDE: tl.constexpr, K_STRIDE: tl.constexpr, N_STRIDE: tl.constexpr,
    WIDTH: tl.constexpr, BK: tl.constexpr, ROWS: tl.constexpr, TN: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """x (B, WIDTH) @ weight (WIDTH, N) of some rows and TN columns: (ROWS, TN) float32, BK of WIDTH at a time.

    x is operand that other programs wrote; its rows are X_STRIDE apart, weight's K_STRIDE and its columns N_STRIDE.
    """
    k = tl.arange(0, BK)
    acc = tl.zeros((ROWS, TN), tl.float32)
    for k0 in tl.static_range(0, WIDTH, BK):
        inside = (k0 + k) < WIDTH
        a = fresh(x + rows[:, None] * X_STRIDE + k0 + k[None, :], inside[None, :], 0.0)
        b = tl.load(weight + (k0 + k)[:, None] * K_STRIDE + cols[None, :] * N_STRIDE, mask=inside[:, None], other=0.0)
        acc = tl.dot(a, b, acc, input_precision=DOT)
    return acc
