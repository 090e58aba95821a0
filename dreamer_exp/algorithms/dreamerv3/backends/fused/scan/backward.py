"""The filter's way back, from the last step on: `backward_stages` as one persistent kernel, or one by one."""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.backward_stages import (
    from_next,
    to_core,
    to_gates,
    to_posterior,
    to_units,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import arrive

STAGES = 5  # from_next, to_posterior, to_gates, to_core, to_units


@triton.jit(do_not_specialize=["last_step"])
def scan_backward(  # noqa: PLR0917
    last_step, counters, keep, d_feature, d_probabilities, probabilities, gates, deter,
    d_logits, d_posterior, d_gates, d_core, d_units, carried, posterior_shares, core_shares, units_shares,
    posterior_slope, posterior_normed, posterior_inverse, core_slope, core_normed, core_inverse,
    units_slope, units_normed, deter_inverse, stoch_inverse,
    known_posterior, known_own, known_units, known_deter, known_stoch,
    from_deter, from_stoch, core_weight, shared, gates_weight, posterior, out_weight,
    STEPS: tl.constexpr, B: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr,
    HP: tl.constexpr, E: tl.constexpr, S: tl.constexpr, C: tl.constexpr, CP: tl.constexpr, CT: tl.constexpr,
    TN: tl.constexpr, NP: tl.constexpr, NPD: tl.constexpr, BK: tl.constexpr, BKL: tl.constexpr, BKG: tl.constexpr,
    CTAS: tl.constexpr, UNIMIX: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr, STAGE: tl.constexpr,
):  # fmt: skip
    """Steps from last_step down, of a grid (CTAS, B / 16).

    As the way forth left them, (T, B, ...): keep, probabilities, gates, and deter (T+1, B, D). Given: d_feature
    (T, B, F), d_probabilities (T, B, S*C); of each norm its slope, normed (T, B, ...) and inverse (T, B), and what is
    known of its products. Made, operand dtype: d_logits (T, B, S*C), d_posterior (T, B, H), d_gates (T, B, G, 3, K),
    d_core (T, B, D), d_units (T, B, 2 H); float32: carried (T, B, D) and each norm's shares (T, B, tiles). PERSISTENT,
    STAGE and counters as in scan_forward; all steps in the one launch, or the one stage of last_step.
    """
    F: tl.constexpr = D + S * C
    L: tl.constexpr = S * C
    program = tl.program_id(0)
    group = tl.program_id(1)
    row0 = group * 16
    counter = counters + group
    arrivals = 0
    for earlier in range(STEPS if PERSISTENT else 1):
        t = last_step - earlier
        more = t < STEPS - 1
        after = tl.minimum(t + 1, STEPS - 1)  # the next step, where there is one
        for stage in tl.static_range(5):
            if PERSISTENT or stage == STAGE:
                if stage == 0:
                    from_next(
                        counter, arrivals, program, row0,
                        more, keep + after * B, d_feature + t * B * F, d_probabilities + t * B * L,
                        probabilities + t * B * L, d_logits + t * B * L, carried + t * B * D, carried + after * B * D,
                        d_units + after * B * 2 * H, units_shares + after * B * (2 * H // TN),
                        deter_inverse + after * B, stoch_inverse + after * B, known_deter + after * B * D,
                        known_stoch + after * B * L, d_core + after * B * D, core_shares + after * B * (D // TN),
                        core_inverse + after * B, known_own + after * B * D, from_deter, from_stoch, core_weight,
                        D, K, KP, H, HP, F, S, C, CP, CT, TN, NP, NPD, UNIMIX, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 1:
                    to_posterior(
                        counter, arrivals, program, row0,
                        d_logits + t * B * L, posterior_slope + t * B * H, posterior_normed + t * B * H,
                        d_posterior + t * B * H, posterior_shares + t * B * (H // TN), out_weight,
                        H, L, BKL, TN, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 2:
                    to_gates(
                        counter, arrivals, program, row0,
                        carried + t * B * D, d_posterior + t * B * H,
                        posterior_shares + t * B * (H // TN), posterior_inverse + t * B, known_posterior + t * B * D,
                        posterior, gates + t * B * 3 * D, deter + t * B * D, keep + t * B, d_gates + t * B * 3 * D,
                        D, K, E, H, HP, TN, NP, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 3:
                    to_core(
                        counter, arrivals, program, row0,
                        d_gates + t * B * 3 * D, core_slope + t * B * D, core_normed + t * B * D,
                        d_core + t * B * D, core_shares + t * B * (D // TN), gates_weight, D, K, BKG, TN,
                        CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 4:
                    to_units(
                        counter, arrivals, program, row0,
                        d_core + t * B * D, core_shares + t * B * (D // TN), core_inverse + t * B,
                        known_units + t * B * 2 * H, units_slope + t * B * 2 * H, units_normed + t * B * 2 * H,
                        d_units + t * B * 2 * H, units_shares + t * B * (2 * H // TN), shared,
                        D, H, BK, TN, NPD, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if PERSISTENT:
                    arrivals += CTAS
                    arrive(counter)
