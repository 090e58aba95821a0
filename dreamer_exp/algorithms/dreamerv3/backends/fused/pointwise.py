"""Sigmoid, SiLU and tanh in few instructions, because every step of a scan waits for them."""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # then there is no PTX


@triton.jit
def sigmoid(x):
    """Return 1 / (1 + exp(-x)) of float32.

    The relative error is 2^-21 for x > -5, and 2^-17 where the result is close to zero. It uses the hardware's ex2 and
    rcp, which flush denormals to zero. tl.sigmoid handles denormals, which makes it three times as long.
    """
    if INTERPRETED:
        return tl.sigmoid(x)
    return tl.inline_asm_elementwise(
        """{
            .reg .f32 e;
            mul.f32 e, $1, 0fBFB8AA3B;
            ex2.approx.ftz.f32 e, e;
            add.f32 e, e, 0f3F800000;
            rcp.approx.ftz.f32 $0, e;
        }""",
        "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1,
    )  # fmt: skip


@triton.jit
def silu(x):
    """Return x sigmoid(x)."""
    return x * sigmoid(x)


@triton.jit
def tanh(x):
    """Return 2 sigmoid(2 x) - 1."""
    return 2.0 * sigmoid(2.0 * x) - 1.0
