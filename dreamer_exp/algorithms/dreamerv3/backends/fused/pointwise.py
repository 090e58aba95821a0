"""Sigmoid and what is made of it, in few instructions: a scan's every step waits for them."""

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # where there is no PTX


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x)) of float32, to 2^-21 relative where x > -5 and to 2^-17 where it is nearly nothing: ex2 and rcp
    as the hardware has them, denormals as zeros.

    tl.sigmoid guards both against denormals, which makes it three times as long.
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
    """x sigmoid(x)."""
    return x * sigmoid(x)


@triton.jit
def tanh(x):
    """2 sigmoid(2 x) - 1."""
    return 2.0 * sigmoid(2.0 * x) - 1.0
