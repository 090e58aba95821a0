"""The five stages of one step of the filter (Rssm.observe): each program takes every CTAS-th tile of a stage.

A tile is 16 rows of the batch by TN columns of the stage's output; loops have constant bounds, as the interpreter
wants. Buffers hold all steps, time-major; a pointer that
a stage is given points at its step. Letters are the glossary's; HP, KP, SP, CP are H, K, S, C as powers of two, a tile
of `draw` holds CT categoricals. Products without bias; whoever reads them adds it.
"""

import triton
import triton.language as tl

from dreamer_exp.dreamer.fast.fused.grid import fresh, row_product

ROWS = tl.constexpr(16)  # of a tile: what a tensor core multiplies at once


@triton.jit
def silu(x):
    """x sigmoid(x)."""
    return x * tl.sigmoid(x)


@triton.jit
def units(  # noqa: PLR0917
    pre, bias, scale, rows, H: tl.constexpr, HP: tl.constexpr, EPSILON: tl.constexpr
):
    """SiLU(RMSNorm(pre + bias) scale) of whole rows: pre (B, H) -> (16, HP), zeros beyond H."""
    n = tl.arange(0, HP)
    inside = n < H
    x = fresh(pre + rows[:, None] * H + n[None, :], inside[None, :], 0.0)
    x += tl.load(bias + n, mask=inside, other=0.0)[None, :]
    inverse = tl.rsqrt(tl.sum(x * x, 1) / H + EPSILON)
    return silu(x * inverse[:, None] * tl.load(scale + n, mask=inside, other=0.0)[None, :])


@triton.jit
def gather(  # noqa: PLR0917
    program, row0, classes, table, keep, pre_stoch,
    S: tl.constexpr, SP: tl.constexpr, C: tl.constexpr, H: tl.constexpr, CTAS: tl.constexpr,
):  # fmt: skip
    """(f1) The latent's first layer: pre_stoch (B, H) = keep (B,) x the sum of S rows of the table (S*C, H).

    classes (B, S) int32. A tile is 4 rows by 32 columns.
    """
    wide: tl.constexpr = (H + 31) // 32
    s = tl.arange(0, SP)
    for first_tile in range(0, 4 * wide, CTAS):
        tile = first_tile + program
        if tile < 4 * wide:
            rows = row0 + (tile // wide) * 4 + tl.arange(0, 4)
            cols = (tile % wide) * 32 + tl.arange(0, 32)
            inside = cols < H
            chosen = fresh(classes + rows[:, None] * S + s[None, :], s[None, :] < S, 0) + s[None, :] * C
            places = chosen[:, :, None] * H + cols[None, None, :]
            read = (s[None, :, None] < S) & inside[None, None, :]
            total = tl.sum(tl.load(table + places, mask=read, other=0.0).to(tl.float32), 1)
            total *= tl.load(keep + rows)[:, None]
            tl.store(pre_stoch + rows[:, None] * H + cols[None, :], total, mask=inside[None, :])


@triton.jit
def core(  # noqa: PLR0917
    program, row0, feature, pre_deter, pre_stoch, action_part, keep, v, squares,
    weight, shared, bias, bias_deter, scale_deter, bias_stoch, scale_stoch,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr,
    TN: tl.constexpr, CTAS: tl.constexpr, EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(f2) The core's inner layer: v (B, D) = keep (h @ own) + units of deter and latent @ shared + the action's part.

    feature (B, F) of the step before, pre_deter and pre_stoch (B, H), action_part (B, D). weight (G, K + 3 H, K) as
    published, of which the first K rows of each block are its own; shared (3 H, D). Leaves in squares (B, D / TN) each
    tile's sum of (v + bias)^2.
    """
    low = feature.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    k, n = tl.arange(0, KP), tl.arange(0, HP)
    tiles: tl.constexpr = D // TN
    of_deter = units(pre_deter, bias_deter, scale_deter, rows, H, HP, EPSILON).to(low)
    of_stoch = units(pre_stoch, bias_stoch, scale_stoch, rows, H, HP, EPSILON).to(low)
    kept = tl.load(keep + rows)
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            cols = tile * TN + tl.arange(0, TN)
            block = (tile * TN) // K
            inside = cols[None, :] < D
            h = fresh(feature + rows[:, None] * F + block * K + k[None, :], k[None, :] < K, 0.0)
            own = weight + block * (K + 3 * H) * K + k[:, None] * K + (cols - block * K)[None, :]
            acc = tl.dot(h, tl.load(own, mask=k[:, None] < K, other=0.0), input_precision=DOT) * kept[:, None]
            first = shared + n[:, None] * D + cols[None, :]
            acc = tl.dot(of_deter, tl.load(first, mask=n[:, None] < H, other=0.0), acc, input_precision=DOT)
            acc = tl.dot(of_stoch, tl.load(first + H * D, mask=n[:, None] < H, other=0.0), acc, input_precision=DOT)
            places = rows[:, None] * D + cols[None, :]
            acc += tl.load(action_part + places)
            tl.store(v + places, acc, mask=inside)
            acc += tl.load(bias + cols)[None, :]
            tl.store(squares + rows * tiles + tile, tl.sum(acc * acc, 1))


@triton.jit
def gru(  # noqa: PLR0917
    program, row0, v, squares, deter, keep, new_deter, new_feature, gates, core_bias, core_scale, weight, bias,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, F: tl.constexpr, TN: tl.constexpr, NP: tl.constexpr,
    CTAS: tl.constexpr, EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(f3) The block-diagonal GRU: new_deter (B, D) float32, its copy in new_feature (B, F), gates (B, G, 3, K).

    v (B, D) with its tiles' squares (B, D / TN; NP of them as a power of two); deter (B, D) before; weight
    (G, K, 3 K), bias (G, 3 K), in the order reset, candidate, update. The gates are kept as they enter their
    nonlinearities, the update's published offset of -1 included.
    """
    low = new_feature.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    k, p = tl.arange(0, KP), tl.arange(0, NP)
    tiles: tl.constexpr = D // TN
    sums = fresh(squares + rows[:, None] * tiles + p[None, :], p[None, :] < tiles, 0.0)
    inverse = tl.rsqrt(tl.sum(sums, 1) / D + EPSILON)
    kept = tl.load(keep + rows)
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            block = (tile * TN) // K
            within = tile * TN - block * K + tl.arange(0, TN)
            cols = block * K + k
            x = fresh(v + rows[:, None] * D + cols[None, :], k[None, :] < K, 0.0)
            x += tl.load(core_bias + cols, mask=k < K, other=0.0)[None, :]
            inner = silu(x * inverse[:, None] * tl.load(core_scale + cols, mask=k < K, other=0.0)[None, :]).to(low)
            w = weight + block * K * 3 * K + k[:, None] * 3 * K + within[None, :]
            b = bias + block * 3 * K + within
            reset = tl.dot(inner, tl.load(w, mask=k[:, None] < K, other=0.0), input_precision=DOT)
            candidate = tl.dot(inner, tl.load(w + K, mask=k[:, None] < K, other=0.0), input_precision=DOT)
            update = tl.dot(inner, tl.load(w + 2 * K, mask=k[:, None] < K, other=0.0), input_precision=DOT)
            reset += tl.load(b)[None, :]
            candidate += tl.load(b + K)[None, :]
            update += tl.load(b + 2 * K)[None, :] - 1.0
            places = rows[:, None] * D + (block * K + within)[None, :]
            before = tl.load(deter + places, cache_modifier=".cg") * kept[:, None]
            proposed = 2.0 * tl.sigmoid(2.0 * tl.sigmoid(reset) * candidate) - 1.0  # tanh
            new = before + tl.sigmoid(update) * (proposed - before)
            tl.store(new_deter + places, new)
            tl.store(new_feature + rows[:, None] * F + (block * K + within)[None, :], new.to(low))
            gate = gates + rows[:, None] * 3 * D + (block * 3 * K + within)[None, :]
            tl.store(gate, reset)
            tl.store(gate + K, candidate)
            tl.store(gate + 2 * K, update)


@triton.jit
def of_deter(  # noqa: PLR0917
    program, row0, new_feature, token_part, next_keep, pre_posterior, next_pre_deter, posterior, from_deter, more,
    D: tl.constexpr, E: tl.constexpr, H: tl.constexpr, F: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr,
    CTAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(f4) What follows from the new deter: pre_posterior (B, H) and, if `more`, the next step's pre_deter (B, H).

    posterior (H, D + E) and from_deter (H, D) as published; token_part (B, H) is the encoder's part of the former.
    """
    rows = row0 + tl.arange(0, ROWS)
    wide: tl.constexpr = H // TN
    for first_tile in range(0, 2 * wide, CTAS):
        tile = first_tile + program
        if tile < 2 * wide:
            cols = (tile % wide) * TN + tl.arange(0, TN)
            places = rows[:, None] * H + cols[None, :]
            if tile < wide:
                acc = row_product(new_feature, rows, posterior, cols, F, 1, D + E, D, BK, ROWS, TN, DOT)
                tl.store(pre_posterior + places, acc + tl.load(token_part + places))
            elif more:
                acc = row_product(new_feature, rows, from_deter, cols, F, 1, D, D, BK, ROWS, TN, DOT)
                tl.store(next_pre_deter + places, acc * tl.load(next_keep + rows)[:, None])


@triton.jit
def draw(  # noqa: PLR0917
    program, row0, pre_posterior, uniform, probabilities, classes, new_feature, in_bias, in_scale, weight, bias,
    D: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr, S: tl.constexpr, C: tl.constexpr,
    CP: tl.constexpr, CT: tl.constexpr, UNIMIX: tl.constexpr, CTAS: tl.constexpr, EPSILON: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """(f5) The posterior: probabilities (B, S*C) float32, a sample as classes (B, S) int32 and one-hot in new_feature.

    pre_posterior (B, H), uniform (B, S), weight (S*C, H), bias (S*C,).
    """
    low = new_feature.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n, c, i = tl.arange(0, HP), tl.arange(0, CT * CP), tl.arange(0, CT)
    tiles: tl.constexpr = (S + CT - 1) // CT
    hidden = units(pre_posterior, in_bias, in_scale, rows, H, HP, EPSILON).to(low)
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            category = tile * CT + c // CP
            inside = (category < S) & (c % CP < C)
            column = category * C + c % CP
            w = weight + column[None, :] * H + n[:, None]
            w = tl.load(w, mask=inside[None, :] & (n[:, None] < H), other=0.0)
            logits = tl.dot(hidden, w, input_precision=DOT) + tl.load(bias + column, mask=inside, other=0.0)[None, :]
            logits = tl.reshape(tl.where(inside[None, :], logits, float("-inf")), (ROWS, CT, CP))
            ours = tl.reshape(tl.broadcast_to(inside[None, :], (ROWS, CT * CP)), (ROWS, CT, CP))
            top = tl.max(logits, 2)
            top = tl.where(top > float("-inf"), top, 0.0)  # a tile's padding categoricals have no class at all
            e = tl.where(ours, tl.exp(logits - top[:, :, None]), 0.0)
            total = tl.sum(e, 2)
            p = (1.0 - UNIMIX) * e / tl.where(total > 0.0, total, 1.0)[:, :, None] + UNIMIX / C
            p = tl.where(ours, p, 0.0)
            mine = tile * CT + i
            u = tl.load(uniform + rows[:, None] * S + mine[None, :], mask=mine[None, :] < S, other=0.0)
            passed = ours & (tl.cumsum(p, 2) <= u[:, :, None])
            chosen = tl.minimum(tl.sum(passed.to(tl.int32), 2), C - 1)  # the sum of all may round to less than u
            tl.store(classes + rows[:, None] * S + mine[None, :], chosen, mask=mine[None, :] < S)
            number = tl.reshape(tl.broadcast_to((c % CP)[None, :], (ROWS, CT * CP)), (ROWS, CT, CP))
            one_hot = tl.reshape((number == chosen[:, :, None]).to(tl.float32), (ROWS, CT * CP))
            at = inside[None, :]
            tl.store(probabilities + rows[:, None] * S * C + column[None, :], tl.reshape(p, (ROWS, CT * CP)), mask=at)
            tl.store(new_feature + rows[:, None] * F + D + column[None, :], one_hot.to(low), mask=at)
