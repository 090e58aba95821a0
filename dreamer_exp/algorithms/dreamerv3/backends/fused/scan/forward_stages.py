"""The five stages of one step of the filter (Rssm.observe): each program takes every CTAS-th tile of a stage.

A tile is 16 rows of the batch by TN columns of the stage's output. A program's turns are a loop, of which two are
written out, and which isn't pipelined: that would load ahead of the wait in its first turn. Buffers hold all steps,
time-major; a pointer that a stage is given points at its step. Letters are the glossary's; HP, KP, SP, CP are H, K, S,
C as powers of two, a tile of `draw` holds CT categoricals. Products without bias; whoever reads them adds it. Before it
waits for the stage before, a stage loads what nothing in the scan writes.
"""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, silu, tanh
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import factor, fresh, row_product, under_way, wait

ROWS = tl.constexpr(16)  # of a tile: what a tensor core multiplies at once


@triton.jit
def units(x, bias, scale, WIDTH: tl.constexpr, EPSILON: tl.constexpr):
    """SiLU(RMSNorm(x + bias) scale) of whole rows: x (16, N), of which WIDTH columns count, the others zeros."""
    x += bias[None, :]
    inverse = tl.rsqrt(tl.sum(x * x, 1) / WIDTH + EPSILON)
    return silu(x * inverse[:, None] * scale[None, :])


@triton.jit
def first_layers(  # noqa: PLR0917
    counter, arrivals, program, row0, gathers, classes, table, keep, pre_deter, pre_stoch, out,
    bias_deter, scale_deter, bias_stoch, scale_stoch,
    S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, CTAS: tl.constexpr,
    EPSILON: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(f1) The units of deter's and of the latent's first layer, side by side: out (B, 2 H), a row a program.

    pre_deter (B, H). If `gathers`, pre_stoch (B, H) is keep (B,) x the sum of S rows of the table (S*C, H), which
    classes (B, S) int32 choose; else it is given.
    """
    n = tl.arange(0, HP)
    inside = n < H
    for first_job in tl.range(0, 2 * ROWS, CTAS, num_stages=1, loop_unroll_factor=2):
        job = first_job + program
        row = row0 + job % ROWS
        of_stoch, of_deter = inside & (job < ROWS), inside & (job >= ROWS)
        bias = tl.load(bias_stoch + n, mask=of_stoch, other=0.0) + tl.load(bias_deter + n, mask=of_deter, other=0.0)
        scale = tl.load(scale_stoch + n, mask=of_stoch, other=0.0) + tl.load(scale_deter + n, mask=of_deter, other=0.0)
        kept = tl.load(keep + row)
        if first_job == 0:
            wait(counter, arrivals, PERSISTENT)
        if job < 2 * ROWS:
            if (job < ROWS) & gathers:
                x = kept * gathered(classes + row * S, table, S, SP, C, H, HP, DOT)
                tl.store(pre_stoch + row * H + n, x, mask=inside)
            else:
                pre = tl.load(pre_stoch + row * H + n, mask=of_stoch, other=0.0)
                x = pre + fresh(pre_deter + row * H + n, of_deter, 0.0)
            x += bias
            x = silu(x * tl.rsqrt(tl.sum(x * x, 0) / H + EPSILON) * scale)
            to = out + row * 2 * H + tl.where(job < ROWS, H, 0)
            tl.store(to + n, x.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gathered(  # noqa: PLR0917
    chosen,
    table,
    S: tl.constexpr,
    SP: tl.constexpr,
    C: tl.constexpr,
    H: tl.constexpr,
    HP: tl.constexpr,
    DOT: tl.constexpr,
):
    """The sum (HP,) of the rows of the table (S*C, H) that chosen (S,) names, a class of each categorical."""
    at_once: tl.constexpr = min(SP, max(16, 8192 // HP))
    n, copies = tl.arange(0, HP), tl.zeros((4,), tl.int32)
    ones = tl.full((ROWS, at_once), 1.0, table.dtype.element_ty)
    total = tl.zeros((ROWS, HP), tl.float32)
    for s0 in tl.static_range(0, SP, at_once):
        s = s0 + tl.arange(0, at_once)
        # one load a thread, which then pass the classes round: else each waits for one class after the other
        classes = tl.max(fresh(chosen + s[:, None] + copies[None, :], (s < S)[:, None], 0), 1)
        read = (s < S)[:, None] & (n < H)[None, :]
        picked = tl.load(table + (s * C + classes)[:, None] * H + n[None, :], mask=read, other=0.0)
        total = tl.dot(ones, under_way(picked), total, input_precision=DOT)
    return tl.max(total, 0)  # its rows are the same


@triton.jit
def core(  # noqa: PLR0917
    counter, arrivals, program, row0, feature, units_before, action_part, keep, v, squares, weight, shared, bias,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr, F: tl.constexpr,
    BK: tl.constexpr, TN: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(f2) The core's inner layer: v (B, D) = keep (h @ own) + units of deter and latent @ shared + the action's part.

    feature (B, F) of the step before, units_before (B, 2 H), action_part (B, D). weight (G, K + 3 H, K) as published,
    of which the first K rows of each block are its own; shared (3 H, D). Leaves in squares (B, D / TN) each tile's sum
    of (v + bias)^2.
    """
    rows = row0 + tl.arange(0, ROWS)
    k = tl.arange(0, KP)
    tiles: tl.constexpr = D // TN
    kept = tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        mine = tl.minimum(tile, tiles - 1)
        cols = mine * TN + tl.arange(0, TN)
        block = (mine * TN) // K
        places = rows[:, None] * D + cols[None, :]
        own = weight + block * (K + 3 * H) * K + k[:, None] * K + (cols - block * K)[None, :]
        w = tl.load(own, mask=k[:, None] < K, other=0.0)
        first = factor(shared, cols, 0, D, 1, 2 * H, BK)
        b = tl.load(bias + cols)
        rest = tl.load(action_part + places)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            h = fresh(feature + rows[:, None] * F + block * K + k[None, :], k[None, :] < K, 0.0)
            acc = row_product(units_before, rows, shared, cols, first, 2 * H, D, 1, 2 * H, BK, ROWS, TN, DOT)
            acc += tl.dot(under_way(h), w, input_precision=DOT) * kept[:, None] + rest
            tl.store(v + places, acc)
            acc += b[None, :]
            tl.store(squares + rows * tiles + tile, tl.sum(acc * acc, 1))


@triton.jit
def gru(  # noqa: PLR0917
    counter, arrivals, program, row0, v, squares, deter, keep, new_deter, new_feature, gates, core_bias, core_scale,
    weight, bias,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, F: tl.constexpr, TN: tl.constexpr, NP: tl.constexpr,
    CTAS: tl.constexpr, EPSILON: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(f3) The block-diagonal GRU: new_deter (B, D) float32, its copy in new_feature (B, F), gates (B, G, 3, K).

    v (B, D) with its tiles' squares (B, D / TN; NP of them as a power of two); deter (B, D) before; weight
    (G, K, 3 K), bias (G, 3 K), in the order reset, candidate, update. The gates are kept as they enter their
    nonlinearities, the update's published offset of -1 included.
    """
    low = new_feature.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    k, p = tl.arange(0, KP), tl.arange(0, NP)
    gate, column = tl.arange(0, 4 * TN) // TN, tl.arange(0, 4 * TN) % TN  # reset, candidate, update, nothing
    tiles: tl.constexpr = D // TN
    kept = tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * TN) // K
        offset = mine * TN - block * K
        w = weight + block * K * 3 * K + k[:, None] * 3 * K + (gate * K + offset + column)[None, :]
        w = tl.load(w, mask=(k[:, None] < K) & (gate < 3)[None, :], other=0.0)
        b = tl.load(bias + block * 3 * K + gate * K + offset + column, mask=gate < 3, other=0.0)
        inner_bias = tl.load(core_bias + block * K + k, mask=k < K, other=0.0)
        scale = tl.load(core_scale + block * K + k, mask=k < K, other=0.0)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            x = fresh(v + rows[:, None] * D + (block * K + k)[None, :], k[None, :] < K, 0.0)
            sums = fresh(squares + rows[:, None] * tiles + p[None, :], p[None, :] < tiles, 0.0)
            within = block * K + offset + tl.arange(0, TN)
            places = rows[:, None] * D + within[None, :]
            before = tl.load(deter + places, cache_modifier=".cg")

            inverse = tl.rsqrt(tl.sum(sums, 1) / D + EPSILON)
            inner = silu((under_way(x) + inner_bias[None, :]) * inverse[:, None] * scale[None, :]).to(low)
            entering = tl.dot(inner, w, input_precision=DOT) + tl.where(gate == 2, b - 1.0, b)[None, :]
            reset, candidate, update = three(entering, TN)
            proposed = tanh(sigmoid(reset) * candidate)
            before *= kept[:, None]
            new = before + sigmoid(update) * (proposed - before)
            tl.store(new_deter + places, new)
            tl.store(new_feature + rows[:, None] * F + within[None, :], new.to(low))
            to = gates + rows[:, None] * 3 * D + (block * 3 * K + gate * K + offset + column)[None, :]
            tl.store(to, entering, mask=(gate < 3)[None, :])


@triton.jit
def three(x, TN: tl.constexpr):
    """The first three of the four (16, TN) that x (16, 4 TN) has side by side."""
    apart = tl.permute(tl.reshape(x, (ROWS, 2, 2, TN)), (0, 3, 1, 2))
    even, odd = tl.split(apart)
    first, third = tl.split(even)
    second, _ = tl.split(odd)
    return first, second, third


@triton.jit
def of_deter(  # noqa: PLR0917
    counter, arrivals, program, row0, new_feature, token_part, next_keep, pre_posterior, next_pre_deter, posterior,
    from_deter, more,
    D: tl.constexpr, E: tl.constexpr, H: tl.constexpr, F: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr,
    CTAS: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(f4) What follows from the new deter: pre_posterior (B, H) and, if `more`, the next step's pre_deter (B, H).

    posterior (H, D + E) and from_deter (H, D) as published; token_part (B, H) is the encoder's part of the former.
    """
    rows = row0 + tl.arange(0, ROWS)
    wide: tl.constexpr = H // TN
    for first_tile in tl.range(0, 2 * wide, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        cols = (tile % wide) * TN + tl.arange(0, TN)
        places = rows[:, None] * H + cols[None, :]
        here = tile < wide
        weight = tl.where(here, posterior, from_deter)
        stride = tl.where(here, D + E, D)
        first = factor(weight, cols, 0, 1, stride, D, BK)
        of_tokens = tl.load(token_part + places, mask=here, other=0.0)
        kept = tl.load(next_keep + rows, mask=(not here) and more, other=1.0)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if here or (tile < 2 * wide and more):
            acc = row_product(new_feature, rows, weight, cols, first, F, 1, stride, D, BK, ROWS, TN, DOT)
            to = tl.where(here, pre_posterior, next_pre_deter)
            tl.store(to + places, acc * kept[:, None] + of_tokens)


@triton.jit
def draw(  # noqa: PLR0917
    counter, arrivals, program, row0, pre_posterior, uniform, probabilities, classes, new_feature, in_bias, in_scale,
    weight, bias,
    D: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr, S: tl.constexpr, C: tl.constexpr,
    CP: tl.constexpr, CT: tl.constexpr, UNIMIX: tl.constexpr, CTAS: tl.constexpr, EPSILON: tl.constexpr,
    DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(f5) The posterior: probabilities (B, S*C) float32, a sample as classes (B, S) int32 and one-hot in new_feature.

    pre_posterior (B, H), uniform (B, S), weight (S*C, H), bias (S*C,).
    """
    low = new_feature.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n, c, i = tl.arange(0, HP), tl.arange(0, CT * CP), tl.arange(0, CT)
    tiles: tl.constexpr = (S + CT - 1) // CT
    hidden_bias = tl.load(in_bias + n, mask=n < H, other=0.0)
    hidden_scale = tl.load(in_scale + n, mask=n < H, other=0.0)
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        category = tile * CT + c // CP
        inside = (category < S) & (c % CP < C)
        column = category * C + c % CP
        w = weight + column[None, :] * H + n[:, None]
        w = tl.load(w, mask=inside[None, :] & (n[:, None] < H), other=0.0)
        b = tl.load(bias + column, mask=inside, other=0.0)
        mine = tile * CT + i
        u = tl.load(uniform + rows[:, None] * S + mine[None, :], mask=mine[None, :] < S, other=0.0)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            pre = fresh(pre_posterior + rows[:, None] * H + n[None, :], n[None, :] < H, 0.0)
            hidden = units(under_way(pre), hidden_bias, hidden_scale, H, EPSILON).to(low)
            logits = tl.dot(hidden, w, input_precision=DOT) + b[None, :]
            logits = tl.reshape(tl.where(inside[None, :], logits, float("-inf")), (ROWS, CT, CP))
            ours = tl.reshape(tl.broadcast_to(inside[None, :], (ROWS, CT * CP)), (ROWS, CT, CP))
            top = tl.max(logits, 2)
            top = tl.where(top > float("-inf"), top, 0.0)  # a tile's padding categoricals have no class at all
            e = tl.where(ours, tl.exp(logits - top[:, :, None]), 0.0)
            total = tl.sum(e, 2)
            p = (1.0 - UNIMIX) * e / tl.where(total > 0.0, total, 1.0)[:, :, None] + UNIMIX / C
            p = tl.where(ours, p, 0.0)
            passed = ours & (tl.cumsum(p, 2) <= u[:, :, None])
            chosen = tl.minimum(tl.sum(passed.to(tl.int32), 2), C - 1)  # the sum of all may round to less than u
            tl.store(classes + rows[:, None] * S + mine[None, :], chosen, mask=mine[None, :] < S)
            number = tl.reshape(tl.broadcast_to((c % CP)[None, :], (ROWS, CT * CP)), (ROWS, CT, CP))
            one_hot = tl.reshape((number == chosen[:, :, None]).to(tl.float32), (ROWS, CT * CP))
            at = inside[None, :]
            tl.store(probabilities + rows[:, None] * S * C + column[None, :], tl.reshape(p, (ROWS, CT * CP)), mask=at)
            tl.store(new_feature + rows[:, None] * F + D + column[None, :], one_hot.to(low), mask=at)
