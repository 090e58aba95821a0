"""The five stages of one step of the posterior scan (Rssm.observe); each program takes every CTAS-th tile of a stage.

A tile is 16 rows of the batch by TN columns of the stage's output. A program's tiles are a loop, unrolled by two and
not pipelined: a pipeline would load ahead of the wait in the first iteration. Buffers hold all steps, time-major; the
pointers that a stage gets point at its step. `place` is a grid.Place and `s` a grid.ScanSizes. Products are stored
without bias; code that reads them adds it. Before a stage waits for the previous one, it loads what the scan doesn't
write.
"""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, silu, tanh
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import (
    after_loads,
    load_l2,
    row_product,
    wait,
    weight_tile,
)

ROWS = tl.constexpr(16)  # of a tile: as many as a tensor core multiplies at once


@triton.jit
def units(x, bias, scale, WIDTH: tl.constexpr, EPSILON: tl.constexpr):
    """Return SiLU(RMSNorm(x + bias) scale) of complete rows: x (16, N) with WIDTH columns, zeros in the others."""
    x += bias[None, :]
    inverse = tl.rsqrt(tl.sum(x * x, 1) / WIDTH + EPSILON)
    return silu(x * inverse[:, None] * scale[None, :])


@triton.jit
def input_units(  # noqa: PLR0917
    place, gathers, classes, table, keep, pre_deter, pre_stoch, out, deter_norm, stoch_norm, s
):
    """(f1) Write the units of the first layers of deter and latent, next to each other: out (B, 2 U), a row a program.

    pre_deter (B, U). If `gathers`, pre_stoch (B, U) becomes keep (B,) times the sum of S rows of the table (S*C, U),
    chosen by classes (B, S) int32; otherwise it is an input.
    """
    n = tl.arange(0, s.UP)
    inside = n < s.U
    for first_job in tl.range(0, 2 * ROWS, s.CTAS, num_stages=1, loop_unroll_factor=2):
        job = first_job + place.program
        row = place.row0 + job % ROWS
        of_stoch, of_deter = inside & (job < ROWS), inside & (job >= ROWS)
        bias = tl.load(stoch_norm.bias + n, mask=of_stoch, other=0.0)
        bias = bias + tl.load(deter_norm.bias + n, mask=of_deter, other=0.0)
        scale = tl.load(stoch_norm.scale + n, mask=of_stoch, other=0.0)
        scale = scale + tl.load(deter_norm.scale + n, mask=of_deter, other=0.0)
        kept = tl.load(keep + row)
        if first_job == 0:
            wait(place, s.PERSISTENT)
        if job < 2 * ROWS:
            if (job < ROWS) & gathers:
                x = kept * gathered(classes + row * s.S, table, s)
                tl.store(pre_stoch + row * s.U + n, x, mask=inside)
            else:
                pre = tl.load(pre_stoch + row * s.U + n, mask=of_stoch, other=0.0)
                x = pre + load_l2(pre_deter + row * s.U + n, of_deter, 0.0)
            x += bias
            x = silu(x * tl.rsqrt(tl.sum(x * x, 0) / s.U + s.EPSILON) * scale)
            to = out + row * 2 * s.U + tl.where(job < ROWS, s.U, 0)
            tl.store(to + n, x.to(out.dtype.element_ty), mask=inside)


@triton.jit
def gathered(chosen, table, s):
    """Return the sum (UP,) of the rows of the table (S*C, U) named by chosen (S,), one class per categorical."""
    at_once: tl.constexpr = min(s.SP, max(16, 8192 // s.UP))
    n, copies = tl.arange(0, s.UP), tl.zeros((4,), tl.int32)
    ones = tl.full((ROWS, at_once), 1.0, table.dtype.element_ty)
    total = tl.zeros((ROWS, s.UP), tl.float32)
    for s0 in tl.static_range(0, s.SP, at_once):
        stoch = s0 + tl.arange(0, at_once)
        # one load per thread, exchanged afterwards; otherwise each thread waits for one class after the other
        classes = tl.max(load_l2(chosen + stoch[:, None] + copies[None, :], (stoch < s.S)[:, None], 0), 1)
        read = (stoch < s.S)[:, None] & (n < s.U)[None, :]
        picked = tl.load(table + (stoch * s.C + classes)[:, None] * s.U + n[None, :], mask=read, other=0.0)
        total = tl.dot(ones, after_loads(picked), total, input_precision=s.DOT)
    return tl.max(total, 0)  # all rows are equal


@triton.jit
def core(  # noqa: PLR0917
    place, feature, units_before, action_part, keep, v, squares, weight, shared, bias, s
):
    """(f2) Write the core's inner layer: v (B, D) = keep (h @ own) + units of deter and latent @ shared + action part.

    feature (B, F) of the previous step, units_before (B, 2 U), action_part (B, D). weight (G, K + 3 U, K) as published;
    the first K rows of each block are `own`. shared (3 U, D). squares (B, D / TN) takes each tile's sum of
    (v + bias)^2.
    """
    rows = place.row0 + tl.arange(0, ROWS)
    k = tl.arange(0, s.KP)
    tiles: tl.constexpr = s.D // s.TN
    kept = tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        mine = tl.minimum(tile, tiles - 1)
        cols = mine * s.TN + tl.arange(0, s.TN)
        block = (mine * s.TN) // s.K
        at = rows[:, None] * s.D + cols[None, :]
        own = weight + block * (s.K + 3 * s.U) * s.K + k[:, None] * s.K + (cols - block * s.K)[None, :]
        w = tl.load(own, mask=k[:, None] < s.K, other=0.0)
        first = weight_tile(shared, cols, 0, s.D, 1, 2 * s.U, s.BK)
        b = tl.load(bias + cols)
        rest = tl.load(action_part + at)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            h = load_l2(feature + rows[:, None] * s.F + block * s.K + k[None, :], k[None, :] < s.K, 0.0)
            acc = row_product(
                units_before, rows, shared, cols, first, 2 * s.U, s.D, 1, 2 * s.U, s.BK, ROWS, s.TN, s.DOT
            )
            acc += tl.dot(after_loads(h), w, input_precision=s.DOT) * kept[:, None] + rest
            tl.store(v + at, acc)
            acc += b[None, :]
            tl.store(squares + rows * tiles + tile, tl.sum(acc * acc, 1))


@triton.jit
def gru(  # noqa: PLR0917
    place, v, squares, deter, keep, new_deter, new_feature, gates, core_norm, layer, s
):
    """(f3) Write the block-diagonal GRU: new_deter (B, D) float32, its copy in new_feature (B, F), gates (B, G, 3, K).

    v (B, D) with the squares (B, D / TN) of its tiles; deter (B, D) before. The layer has weight (G, K, 3 K) and bias
    (G, 3 K), in the order reset, candidate, update. The stored gates are the inputs of their nonlinearities, with the
    published offset of -1 for the update.
    """
    low = new_feature.dtype.element_ty
    rows = place.row0 + tl.arange(0, ROWS)
    k, p = tl.arange(0, s.KP), tl.arange(0, s.DTP)
    gate, column = tl.arange(0, 4 * s.TN) // s.TN, tl.arange(0, 4 * s.TN) % s.TN  # reset, candidate, update, padding
    tiles: tl.constexpr = s.D // s.TN
    kept = tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * s.TN) // s.K
        offset = mine * s.TN - block * s.K
        w = layer.weight + block * s.K * 3 * s.K + k[:, None] * 3 * s.K + (gate * s.K + offset + column)[None, :]
        w = tl.load(w, mask=(k[:, None] < s.K) & (gate < 3)[None, :], other=0.0)
        b = tl.load(layer.bias + block * 3 * s.K + gate * s.K + offset + column, mask=gate < 3, other=0.0)
        inner_bias = tl.load(core_norm.bias + block * s.K + k, mask=k < s.K, other=0.0)
        scale = tl.load(core_norm.scale + block * s.K + k, mask=k < s.K, other=0.0)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            x = load_l2(v + rows[:, None] * s.D + (block * s.K + k)[None, :], k[None, :] < s.K, 0.0)
            sums = load_l2(squares + rows[:, None] * tiles + p[None, :], p[None, :] < tiles, 0.0)
            within = block * s.K + offset + tl.arange(0, s.TN)
            at = rows[:, None] * s.D + within[None, :]
            before = tl.load(deter + at, cache_modifier=".cg")

            inverse = tl.rsqrt(tl.sum(sums, 1) / s.D + s.EPSILON)
            inner = silu((after_loads(x) + inner_bias[None, :]) * inverse[:, None] * scale[None, :]).to(low)
            gates_in = tl.dot(inner, w, input_precision=s.DOT) + tl.where(gate == 2, b - 1.0, b)[None, :]
            reset, candidate, update = first_three(gates_in, s.TN)
            proposed = tanh(sigmoid(reset) * candidate)
            before *= kept[:, None]
            new = before + sigmoid(update) * (proposed - before)
            tl.store(new_deter + at, new)
            tl.store(new_feature + rows[:, None] * s.F + within[None, :], new.to(low))
            to = gates + rows[:, None] * 3 * s.D + (block * 3 * s.K + gate * s.K + offset + column)[None, :]
            tl.store(to, gates_in, mask=(gate < 3)[None, :])


@triton.jit
def first_three(x, TN: tl.constexpr):
    """Return the first three of the four (16, TN) that x (16, 4 TN) consists of."""
    apart = tl.permute(tl.reshape(x, (ROWS, 2, 2, TN)), (0, 3, 1, 2))
    even, odd = tl.split(apart)
    first, third = tl.split(even)
    second, _ = tl.split(odd)
    return first, second, third


@triton.jit
def deter_products(  # noqa: PLR0917
    place, new_feature, token_part, next_keep, pre_posterior, next_pre_deter, posterior, from_deter, more, s
):
    """(f4) Write the products of the new deter: pre_posterior (B, U) and, if `more`, the next step's pre_deter (B, U).

    posterior (U, D + E) and from_deter (U, D) as published; token_part (B, U) is the encoder's part of pre_posterior.
    """
    rows = place.row0 + tl.arange(0, ROWS)
    wide: tl.constexpr = s.U // s.TN
    for first_tile in tl.range(0, 2 * wide, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        cols = (tile % wide) * s.TN + tl.arange(0, s.TN)
        at = rows[:, None] * s.U + cols[None, :]
        is_posterior = tile < wide
        weight = tl.where(is_posterior, posterior, from_deter)
        stride = tl.where(is_posterior, s.D + s.E, s.D)
        first = weight_tile(weight, cols, 0, 1, stride, s.D, s.BK)
        of_tokens = tl.load(token_part + at, mask=is_posterior, other=0.0)
        kept = tl.load(next_keep + rows, mask=(not is_posterior) and more, other=1.0)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if is_posterior or (tile < 2 * wide and more):
            acc = row_product(new_feature, rows, weight, cols, first, s.F, 1, stride, s.D, s.BK, ROWS, s.TN, s.DOT)
            to = tl.where(is_posterior, pre_posterior, next_pre_deter)
            tl.store(to + at, acc * kept[:, None] + of_tokens)


@triton.jit
def sample_latent(  # noqa: PLR0917
    place, pre_posterior, uniform, probabilities, classes, new_feature, norm, layer, s
):
    """(f5) Write the posterior's probabilities (B, S*C) float32 and a sample: classes (B, S) int32 and new_feature.

    pre_posterior (B, U), uniform (B, S). The layer has weight (S*C, U) and bias (S*C,).
    """
    low = new_feature.dtype.element_ty
    rows = place.row0 + tl.arange(0, ROWS)
    n, c, i = tl.arange(0, s.UP), tl.arange(0, s.CT * s.CP), tl.arange(0, s.CT)
    tiles: tl.constexpr = (s.S + s.CT - 1) // s.CT
    hidden_bias = tl.load(norm.bias + n, mask=n < s.U, other=0.0)
    hidden_scale = tl.load(norm.scale + n, mask=n < s.U, other=0.0)
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        stoch = tile * s.CT + c // s.CP
        inside = (stoch < s.S) & (c % s.CP < s.C)
        column = stoch * s.C + c % s.CP
        w = layer.weight + column[None, :] * s.U + n[:, None]
        w = tl.load(w, mask=inside[None, :] & (n[:, None] < s.U), other=0.0)
        b = tl.load(layer.bias + column, mask=inside, other=0.0)
        mine = tile * s.CT + i
        u = tl.load(uniform + rows[:, None] * s.S + mine[None, :], mask=mine[None, :] < s.S, other=0.0)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            pre = load_l2(pre_posterior + rows[:, None] * s.U + n[None, :], n[None, :] < s.U, 0.0)
            hidden = units(after_loads(pre), hidden_bias, hidden_scale, s.U, s.EPSILON).to(low)
            logits = tl.dot(hidden, w, input_precision=s.DOT) + b[None, :]
            logits = tl.reshape(tl.where(inside[None, :], logits, float("-inf")), (ROWS, s.CT, s.CP))
            exists = tl.reshape(tl.broadcast_to(inside[None, :], (ROWS, s.CT * s.CP)), (ROWS, s.CT, s.CP))
            top = tl.max(logits, 2)
            top = tl.where(top > float("-inf"), top, 0.0)  # padding categoricals of a tile have no class
            e = tl.where(exists, tl.exp(logits - top[:, :, None]), 0.0)
            total = tl.sum(e, 2)
            p = (1.0 - s.UNIMIX) * e / tl.where(total > 0.0, total, 1.0)[:, :, None] + s.UNIMIX / s.C
            p = tl.where(exists, p, 0.0)
            passed = exists & (tl.cumsum(p, 2) <= u[:, :, None])
            chosen = tl.minimum(tl.sum(passed.to(tl.int32), 2), s.C - 1)  # the total may round to less than u
            tl.store(classes + rows[:, None] * s.S + mine[None, :], chosen, mask=mine[None, :] < s.S)
            number = tl.reshape(tl.broadcast_to((c % s.CP)[None, :], (ROWS, s.CT * s.CP)), (ROWS, s.CT, s.CP))
            one_hot = tl.reshape((number == chosen[:, :, None]).to(tl.float32), (ROWS, s.CT * s.CP))
            to = probabilities + rows[:, None] * s.S * s.C + column[None, :]
            tl.store(to, tl.reshape(p, (ROWS, s.CT * s.CP)), mask=inside[None, :])
            to = new_feature + rows[:, None] * s.F + s.D + column[None, :]
            tl.store(to, one_hot.to(low), mask=inside[None, :])
