"""The scan's backward pass, last step first: `backward_stages` as one persistent kernel, or one launch per stage."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.backward_stages import (
    NormGradient,
    to_core,
    to_gates,
    to_posterior,
    to_state,
    to_units,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import Place, arrive

STAGES = 5  # to_state, to_posterior, to_gates, to_core, to_units


class Inputs(NamedTuple):
    """Results of the forward scan and gradients from the heads, all steps, time-major, float32."""

    keep: Any  # (T, B)
    d_feature: Any  # (T, B, F)
    d_probabilities: Any  # (T, B, S*C)
    probabilities: Any  # (T, B, S*C)
    gates: Any  # (T, B, G, 3, K)
    deter: Any  # (T+1, B, D)


class Outputs(NamedTuple):
    """What the scan writes, all steps; operand dtype, the last four float32."""

    d_logits: Any  # (T, B, S*C)
    d_posterior: Any  # (T, B, U)
    d_gates: Any  # (T, B, G, 3, K)
    d_core: Any  # (T, B, D)
    d_units: Any  # (T, B, 2 U)
    d_deter: Any  # (T, B, D)
    posterior_partials: Any  # (T, B, U / TN)
    core_partials: Any  # (T, B, D / TN)
    units_partials: Any  # (T, B, 2 U / TN)


class Norms(NamedTuple):
    """Of each norm: the slope of its activation times its scale, the normed input (T, B, width), and r (T, B)."""

    posterior_slope: Any
    posterior_normed: Any
    posterior_inverse: Any
    core_slope: Any
    core_normed: Any
    core_inverse: Any
    units_slope: Any  # of deter and latent, next to each other
    units_normed: Any
    deter_inverse: Any
    stoch_inverse: Any


class Projected(NamedTuple):
    """Products of normed inputs with weights, all steps, float32."""

    posterior: Any  # with the posterior's weight (T, B, D)
    own: Any  # core with its own rows (T, B, D)
    units: Any  # core with its shared rows (T, B, 2 U)
    deter: Any  # units of deter with from_deter (T, B, D)
    stoch: Any  # units of latent with from_stoch (T, B, S*C)


class Weights(NamedTuple):
    """Weights in the operand dtype, as published; `shared` (3 U, D) are the core's rows that all blocks share."""

    from_deter: Any
    from_stoch: Any
    core: Any
    shared: Any
    gates: Any
    posterior: Any
    out: Any


@triton.jit(do_not_specialize=["last_step"])
def scan_backward(last_step, counters, inputs, outputs, norms, projected, weights, s, STAGE: tl.constexpr):  # noqa: PLR0917
    """Compute the steps from last_step down; grid (CTAS, B / 16).

    Counters, sizes and STAGE are as in scan_forward: all steps in one launch, or one stage of last_step.
    """
    i, o = inputs, outputs
    program = tl.program_id(0)
    group = tl.program_id(1)
    row0 = group * 16
    counter = counters + group
    arrivals = 0
    for earlier in range(s.STEPS if s.PERSISTENT else 1):
        t = last_step - earlier
        more = t < s.STEPS - 1
        after = tl.minimum(t + 1, s.STEPS - 1)  # the next step, if there is one
        for stage in tl.static_range(5):
            if s.PERSISTENT or stage == STAGE:
                if stage == 0:
                    to_state(
                        Place(counter, arrivals, program, row0),
                        more, i.keep + after * s.B, i.d_feature + t * s.B * s.F, i.d_probabilities + t * s.B * s.L,
                        i.probabilities + t * s.B * s.L, o.d_logits + t * s.B * s.L, o.d_deter + t * s.B * s.D,
                        o.d_deter + after * s.B * s.D,
                        NormGradient(
                            o.d_units + after * s.B * 2 * s.U, o.units_partials + after * s.B * (2 * s.U // s.TN),
                            norms.deter_inverse + after * s.B, projected.deter + after * s.B * s.D,
                        ),
                        NormGradient(
                            o.d_units + after * s.B * 2 * s.U, o.units_partials + after * s.B * (2 * s.U // s.TN),
                            norms.stoch_inverse + after * s.B, projected.stoch + after * s.B * s.L,
                        ),
                        NormGradient(
                            o.d_core + after * s.B * s.D, o.core_partials + after * s.B * (s.D // s.TN),
                            norms.core_inverse + after * s.B, projected.own + after * s.B * s.D,
                        ),
                        weights.from_deter, weights.from_stoch, weights.core, s,
                    )  # fmt: skip
                if stage == 1:
                    to_posterior(
                        Place(counter, arrivals, program, row0),
                        o.d_logits + t * s.B * s.L, norms.posterior_slope + t * s.B * s.U,
                        norms.posterior_normed + t * s.B * s.U, o.d_posterior + t * s.B * s.U,
                        o.posterior_partials + t * s.B * (s.U // s.TN), weights.out, s,
                    )  # fmt: skip
                if stage == 2:
                    to_gates(
                        Place(counter, arrivals, program, row0),
                        o.d_deter + t * s.B * s.D,
                        NormGradient(
                            o.d_posterior + t * s.B * s.U, o.posterior_partials + t * s.B * (s.U // s.TN),
                            norms.posterior_inverse + t * s.B, projected.posterior + t * s.B * s.D,
                        ),
                        weights.posterior, i.gates + t * s.B * 3 * s.D, i.deter + t * s.B * s.D, i.keep + t * s.B,
                        o.d_gates + t * s.B * 3 * s.D, s,
                    )  # fmt: skip
                if stage == 3:
                    to_core(
                        Place(counter, arrivals, program, row0),
                        o.d_gates + t * s.B * 3 * s.D, norms.core_slope + t * s.B * s.D,
                        norms.core_normed + t * s.B * s.D, o.d_core + t * s.B * s.D,
                        o.core_partials + t * s.B * (s.D // s.TN), weights.gates, s,
                    )  # fmt: skip
                if stage == 4:
                    to_units(
                        Place(counter, arrivals, program, row0),
                        NormGradient(
                            o.d_core + t * s.B * s.D, o.core_partials + t * s.B * (s.D // s.TN),
                            norms.core_inverse + t * s.B, projected.units + t * s.B * 2 * s.U,
                        ),
                        norms.units_slope + t * s.B * 2 * s.U, norms.units_normed + t * s.B * 2 * s.U,
                        o.d_units + t * s.B * 2 * s.U, o.units_partials + t * s.B * (2 * s.U // s.TN),
                        weights.shared, s,
                    )  # fmt: skip
                if s.PERSISTENT:
                    arrivals += s.CTAS
                    arrive(counter)
