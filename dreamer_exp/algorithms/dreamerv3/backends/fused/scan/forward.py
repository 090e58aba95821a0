"""The posterior scan over T steps: `forward_stages` as one persistent kernel, or one launch per stage."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward_stages import (
    core,
    deter_products,
    gru,
    input_units,
    sample_latent,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import Place, arrive

STAGES = 5  # input_units, core, gru, deter_products, sample_latent


class Buffers(NamedTuple):
    """What the scan reads and writes, all steps, time-major; float32 except feature and units (operand dtype)."""

    feature: Any  # (T+1, B, F), the carried state at 0, the state of step t at t + 1
    deter: Any  # (T+1, B, D), the same
    classes: Any  # (T, B, S) int32, the sampled latents
    pre_deter: Any  # (T, B, U), products of the first layers; those of step 0 are given
    pre_stoch: Any  # (T, B, U)
    action_part: Any  # (T, B, D), of the core's input, given
    token_part: Any  # (T, B, U), of the posterior's input, given
    keep: Any  # (T, B), 0 where an episode begins, given
    uniform: Any  # (T, B, S), noise, given
    units: Any  # (B, 2 U), of the current step
    v: Any  # (T, B, D), the core's inner layer
    squares: Any  # (T, B, D / TN), its tiles' sums of squares
    gates: Any  # (T, B, G, 3, K)
    pre_posterior: Any  # (T, B, U)
    probabilities: Any  # (T, B, S*C)


class Weights(NamedTuple):
    """Parameters of the scan; weights in the operand dtype, biases and scales in float32."""

    table: Any  # (S*C, U), from_stoch's weight, transposed
    core: Any  # (G, K + 3 U, K)
    shared: Any  # (3 U, D), the core's rows that all blocks share
    core_norm: Any
    gates: Any
    from_deter: Any
    from_stoch_norm: Any
    posterior: Any
    out: Any


@triton.jit(do_not_specialize=["first_step"])
def scan_forward(first_step, counters, buffers, weights, s, STAGE: tl.constexpr):  # noqa: PLR0917
    """Compute the steps from first_step on; grid (CTAS, B / 16), each group of CTAS programs has its own 16 rows.

    counters (B / 16,) int32 are zeros. `s` is a grid.ScanSizes. If persistent, one launch computes all steps and
    stages with barriers in between, and the complete grid has to be resident; otherwise it computes the one STAGE
    (0 to 4) of the step `first_step`.
    """
    b = buffers
    group = tl.program_id(1)
    program = tl.program_id(0)
    row0 = group * 16
    counter = counters + group
    arrivals = 0
    for later in range(s.STEPS if s.PERSISTENT else 1):
        t = first_step + later
        new_feature = b.feature + (t + 1) * s.B * s.F
        for stage in tl.static_range(5):
            if s.PERSISTENT or stage == STAGE:
                if stage == 0:
                    input_units(
                        Place(counter, arrivals, program, row0),
                        t > 0, b.classes + (t - 1) * s.B * s.S, weights.table, b.keep + t * s.B,
                        b.pre_deter + t * s.B * s.U, b.pre_stoch + t * s.B * s.U, b.units,
                        weights.from_deter, weights.from_stoch_norm, s,
                    )  # fmt: skip
                if stage == 1:
                    core(
                        Place(counter, arrivals, program, row0),
                        b.feature + t * s.B * s.F, b.units, b.action_part + t * s.B * s.D, b.keep + t * s.B,
                        b.v + t * s.B * s.D, b.squares + t * s.B * (s.D // s.TN), weights.core, weights.shared,
                        weights.core_norm.bias, s,
                    )  # fmt: skip
                if stage == 2:
                    gru(
                        Place(counter, arrivals, program, row0),
                        b.v + t * s.B * s.D, b.squares + t * s.B * (s.D // s.TN), b.deter + t * s.B * s.D,
                        b.keep + t * s.B, b.deter + (t + 1) * s.B * s.D, new_feature, b.gates + t * s.B * 3 * s.D,
                        weights.core_norm, weights.gates, s,
                    )  # fmt: skip
                if stage == 3:
                    deter_products(
                        Place(counter, arrivals, program, row0),
                        new_feature, b.token_part + t * s.B * s.U, b.keep + (t + 1) * s.B,
                        b.pre_posterior + t * s.B * s.U, b.pre_deter + (t + 1) * s.B * s.U, weights.posterior.weight,
                        weights.from_deter.weight, t + 1 < s.STEPS, s,
                    )  # fmt: skip
                if stage == 4:
                    sample_latent(
                        Place(counter, arrivals, program, row0),
                        b.pre_posterior + t * s.B * s.U, b.uniform + t * s.B * s.S,
                        b.probabilities + t * s.B * s.S * s.C, b.classes + t * s.B * s.S, new_feature,
                        weights.posterior, weights.out, s,
                    )  # fmt: skip
                if s.PERSISTENT:
                    arrivals += s.CTAS
                    arrive(counter)
