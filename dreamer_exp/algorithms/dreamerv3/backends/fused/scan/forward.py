"""The filter over T steps as one persistent kernel, or stage by stage: `forward_stages` with a barrier in between."""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward_stages import core, draw, first_layers, gru, of_deter
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import arrive

STAGES = 5  # first_layers, core, gru, of_deter, draw


@triton.jit(do_not_specialize=["first_step"])
def scan_forward(  # noqa: PLR0917
    first_step, counters,
    feature, deter, classes, pre_deter, pre_stoch, action_part, token_part, keep, uniform,
    units, v, squares, gates, pre_posterior, probabilities,
    table, core_weight, shared, core_bias, core_scale, gates_weight, gates_bias,
    from_deter, from_deter_bias, from_deter_scale, from_stoch_bias, from_stoch_scale,
    posterior, posterior_bias, posterior_scale, out_weight, out_bias,
    STEPS: tl.constexpr, B: tl.constexpr, D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr,
    HP: tl.constexpr, E: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr, CP: tl.constexpr,
    CT: tl.constexpr, TN: tl.constexpr, NP: tl.constexpr, BK: tl.constexpr, CTAS: tl.constexpr,
    EPSILON: tl.constexpr, UNIMIX: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr, STAGE: tl.constexpr,
):  # fmt: skip
    """Steps from first_step on, of a grid (CTAS, B / 16): each group of CTAS programs has 16 rows of its own.

    feature (T+1, B, F) operand and deter (T+1, B, D) float32 hold the carried state at 0 and step t's at t + 1;
    pre_deter, pre_stoch (T, B, H), whose step 0 is given; units (B, 2 H) operand, of one step; action_part, v
    (T, B, D); token_part, pre_posterior (T, B, H); keep (T, B); uniform, classes (T, B, S); squares (T, B, D / TN);
    gates (T, B, G, 3, K); probabilities (T, B, S*C). counters (B / 16,) int32 zeros. PERSISTENT: all steps and stages
    with barriers, which needs the whole grid resident; else the one STAGE (0 to 4) of the one step `first_step`.
    """
    F: tl.constexpr = D + S * C
    group = tl.program_id(1)
    program = tl.program_id(0)
    row0 = group * 16
    counter = counters + group
    arrivals = 0
    for later in range(STEPS if PERSISTENT else 1):
        t = first_step + later
        new_feature = feature + (t + 1) * B * F
        for stage in tl.static_range(5):
            if PERSISTENT or stage == STAGE:
                if stage == 0:
                    first_layers(
                        counter, arrivals, program, row0,
                        t > 0, classes + (t - 1) * B * S, table, keep + t * B, pre_deter + t * B * H,
                        pre_stoch + t * B * H, units, from_deter_bias, from_deter_scale, from_stoch_bias,
                        from_stoch_scale, S, SP, C, H, HP, CTAS, EPSILON, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 1:
                    core(
                        counter, arrivals, program, row0,
                        feature + t * B * F, units, action_part + t * B * D, keep + t * B,
                        v + t * B * D, squares + t * B * (D // TN), core_weight, shared, core_bias,
                        D, K, KP, H, F, BK, TN, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 2:
                    gru(
                        counter, arrivals, program, row0,
                        v + t * B * D, squares + t * B * (D // TN), deter + t * B * D, keep + t * B,
                        deter + (t + 1) * B * D, new_feature, gates + t * B * 3 * D, core_bias, core_scale,
                        gates_weight, gates_bias, D, K, KP, F, TN, NP, CTAS, EPSILON, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 3:
                    of_deter(
                        counter, arrivals, program, row0,
                        new_feature, token_part + t * B * H, keep + (t + 1) * B,
                        pre_posterior + t * B * H, pre_deter + (t + 1) * B * H, posterior, from_deter, t + 1 < STEPS,
                        D, E, H, F, BK, TN, CTAS, DOT, PERSISTENT,
                    )  # fmt: skip
                if stage == 4:
                    draw(
                        counter, arrivals, program, row0,
                        pre_posterior + t * B * H, uniform + t * B * S, probabilities + t * B * S * C,
                        classes + t * B * S, new_feature, posterior_bias, posterior_scale, out_weight, out_bias,
                        D, H, HP, F, S, C, CP, CT, UNIMIX, CTAS, EPSILON, DOT, PERSISTENT,
                    )  # fmt: skip
                if PERSISTENT:
                    arrivals += CTAS
                    arrive(counter)
