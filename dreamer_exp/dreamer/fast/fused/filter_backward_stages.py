"""The five stages of one step of the filter's way back, last step first; tiles and letters as in filter_stages.py.

Source of the arithmetic: the chain rule on Rssm.observe. An RMSNorm y = f(scale x r) with r = 1 / rms(x) has the
gradient dx = r (d - x r mean(d x r)), where d is the gradient of the normed x r: rank one a row beside r d. So its
product with a weight is r (d @ W - m (x r @ W)) with m = mean(d x r): the tile that makes d stores it and its share of
m, whoever needs the product multiplies d alone, and (x r) @ W, "known", was computed for all steps before the scan.
"""

import triton
import triton.language as tl

from dreamer_exp.dreamer.fast.fused.filter_stages import ROWS
from dreamer_exp.dreamer.fast.fused.grid import fresh, row_product


@triton.jit
def shared_mean(  # noqa: PLR0917
    shares, rows, TILES: tl.constexpr, STRIDE: tl.constexpr, FIRST: tl.constexpr, NP: tl.constexpr,
    N: tl.constexpr,
):  # fmt: skip
    """m (16,): the sum of TILES shares a row, from column FIRST of shares (B, STRIDE) on, over N."""
    p = tl.arange(0, NP)
    found = fresh(shares + rows[:, None] * STRIDE + FIRST + p[None, :], p[None, :] < TILES, 0.0)
    return tl.sum(found, 1) / N


@triton.jit
def to_logits(  # noqa: PLR0917
    program, row0, more, keep_next, d_feature, d_probabilities, probabilities, d_logits,
    d_units_next, shares_next, inverse_stoch_next, known_stoch_next, from_stoch,
    D: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr, S: tl.constexpr, C: tl.constexpr,
    CP: tl.constexpr, CT: tl.constexpr, TN: tl.constexpr, NP: tl.constexpr, UNIMIX: tl.constexpr, CTAS: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """(b1) d_logits (B, S*C) of the posterior: straight through the latent, then through unimix and softmax.

    d_feature (B, F) of the heads, d_probabilities (B, S*C) of the KL; if `more`, of the next step: keep (B,), d_units
    (B, 2 H) and its shares (B, 2 H / TN), inverse_stoch (B,), known_stoch (B, S*C); from_stoch (H, S*C) as published.
    """
    low = d_logits.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n, c = tl.arange(0, HP), tl.arange(0, CT * CP)
    tiles: tl.constexpr = (S + CT - 1) // CT
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            category = tile * CT + c // CP
            inside = ((category < S) & (c % CP < C))[None, :]
            column = category * C + c % CP
            places = rows[:, None] * S * C + column[None, :]
            d = tl.load(d_feature + rows[:, None] * F + D + column[None, :], mask=inside, other=0.0)
            d += tl.load(d_probabilities + places, mask=inside, other=0.0)
            if more:
                d_stoch = fresh(d_units_next + rows[:, None] * 2 * H + H + n[None, :], n[None, :] < H, 0.0)
                w = from_stoch + n[:, None] * S * C + column[None, :]
                acc = tl.dot(d_stoch, tl.load(w, mask=inside & (n[:, None] < H), other=0.0), input_precision=DOT)
                m = shared_mean(shares_next, rows, H // TN, 2 * H // TN, H // TN, NP, H)
                acc -= m[:, None] * tl.load(known_stoch_next + places, mask=inside, other=0.0)
                d += (tl.load(keep_next + rows) * tl.load(inverse_stoch_next + rows))[:, None] * acc
            p = tl.load(probabilities + places, mask=inside, other=UNIMIX / C)
            soft = (p - UNIMIX / C) / (1.0 - UNIMIX)  # zero beyond the classes
            soft3 = tl.reshape(soft, (ROWS, CT, CP))
            d3 = tl.reshape(d, (ROWS, CT, CP))
            d3 = (1.0 - UNIMIX) * soft3 * (d3 - tl.sum(soft3 * d3, 2)[:, :, None])
            tl.store(d_logits + places, tl.reshape(d3, (ROWS, CT * CP)).to(low), mask=inside)


@triton.jit
def from_later(  # noqa: PLR0917
    program, row0, more, keep_next, d_feature, carried, carried_next, d_units_next, shares_next, inverse_deter_next,
    known_deter_next, d_core_next, core_shares_next, inverse_core_next, known_own_next, from_deter, weight,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr,
    TN: tl.constexpr, NP: tl.constexpr, NPD: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(b1, beside to_logits) carried (B, D): the gradient of deter from the heads and from the next step.

    carried_next (B, D) is what the next step's GRU passes on; d_core (B, D) with core_shares (B, D / TN), known_own
    (B, D) belong to the core's norm; from_deter (H, D), weight (G, K + 3 H, K) as published.
    """
    rows = row0 + tl.arange(0, ROWS)
    n, k = tl.arange(0, HP), tl.arange(0, KP)
    tiles: tl.constexpr = D // TN
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            cols = tile * TN + tl.arange(0, TN)
            block = (tile * TN) // K
            places = rows[:, None] * D + cols[None, :]
            d = tl.load(d_feature + rows[:, None] * F + cols[None, :])
            if more:
                d_deter = fresh(d_units_next + rows[:, None] * 2 * H + n[None, :], n[None, :] < H, 0.0)
                w = tl.load(from_deter + n[:, None] * D + cols[None, :], mask=n[:, None] < H, other=0.0)
                acc = tl.dot(d_deter, w, input_precision=DOT)
                m = shared_mean(shares_next, rows, H // TN, 2 * H // TN, 0, NP, H)
                acc -= m[:, None] * tl.load(known_deter_next + places)
                total = tl.load(inverse_deter_next + rows)[:, None] * acc
                d_core = fresh(d_core_next + rows[:, None] * D + block * K + k[None, :], k[None, :] < K, 0.0)
                w = weight + block * (K + 3 * H) * K + (cols - block * K)[None, :] * K + k[:, None]
                acc = tl.dot(d_core, tl.load(w, mask=k[:, None] < K, other=0.0), input_precision=DOT)
                m = shared_mean(core_shares_next, rows, D // TN, D // TN, 0, NPD, D)
                acc -= m[:, None] * tl.load(known_own_next + places)
                total += tl.load(inverse_core_next + rows)[:, None] * acc
                total += tl.load(carried_next + places, cache_modifier=".cg")
                d += tl.load(keep_next + rows)[:, None] * total
            tl.store(carried + places, d)


@triton.jit
def to_posterior(  # noqa: PLR0917
    program, row0, d_logits, slope, normed, d_posterior, shares, weight,
    H: tl.constexpr, L: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(b2) d_posterior (B, H), of the posterior's normed hidden units, and its shares (B, H / TN).

    d_logits (B, L), slope and normed (B, H), weight (L, H).
    """
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = H // TN
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            cols = tile * TN + tl.arange(0, TN)
            acc = row_product(d_logits, rows, weight, cols, L, H, 1, L, BK, ROWS, TN, DOT)
            keep_normed(acc, rows, cols, tile, slope, normed, d_posterior, shares, H, H // TN)


@triton.jit
def keep_normed(  # noqa: PLR0917
    d, rows, cols, tile, slope, normed, d_normed, shares, N: tl.constexpr, STRIDE: tl.constexpr
):
    """From d (16, TN), the gradient of a norm's activations, to that of its normed input; stores it and its share."""
    places = rows[:, None] * N + cols[None, :]
    d = d * tl.load(slope + places).to(tl.float32)
    tl.store(d_normed + places, d.to(d_normed.dtype.element_ty))
    tl.store(shares + rows * STRIDE + tile, tl.sum(d * tl.load(normed + places).to(tl.float32), 1))


@triton.jit
def to_gates(  # noqa: PLR0917
    program, row0, carried, d_posterior, shares, inverse, known, posterior, gates, deter_before, keep, d_gates,
    D: tl.constexpr, K: tl.constexpr, E: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, TN: tl.constexpr,
    NP: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(b3) d_gates (B, G, 3, K), and in `carried` (B, D) what the GRU passes on to the state before.

    d_posterior (B, H), known (B, D), posterior (H, D + E) as published; gates (B, G, 3, K) and deter_before (B, D) as
    the way forth left them.
    """
    low = d_gates.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n = tl.arange(0, HP)
    tiles: tl.constexpr = D // TN
    m = shared_mean(shares, rows, H // TN, H // TN, 0, NP, H)
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            block = (tile * TN) // K
            within = tile * TN - block * K + tl.arange(0, TN)
            cols = block * K + within
            places = rows[:, None] * D + cols[None, :]
            d_hidden = fresh(d_posterior + rows[:, None] * H + n[None, :], n[None, :] < H, 0.0)
            w = tl.load(posterior + n[:, None] * (D + E) + cols[None, :], mask=n[:, None] < H, other=0.0)
            acc = tl.dot(d_hidden, w, input_precision=DOT) - m[:, None] * tl.load(known + places)
            d = tl.load(carried + places, cache_modifier=".cg") + tl.load(inverse + rows)[:, None] * acc
            gate = gates + rows[:, None] * 3 * D + (block * 3 * K + within)[None, :]
            reset = tl.sigmoid(tl.load(gate))
            candidate = tl.load(gate + K)
            update = tl.sigmoid(tl.load(gate + 2 * K))
            proposed = 2.0 * tl.sigmoid(2.0 * reset * candidate) - 1.0
            before = tl.load(deter_before + places) * tl.load(keep + rows)[:, None]
            d_inner = d * update * (1.0 - proposed * proposed)
            to_gate = d_gates + rows[:, None] * 3 * D + (block * 3 * K + within)[None, :]
            tl.store(to_gate, (d_inner * candidate * reset * (1.0 - reset)).to(low))
            tl.store(to_gate + K, (d_inner * reset).to(low))
            tl.store(to_gate + 2 * K, (d * (proposed - before) * update * (1.0 - update)).to(low))
            tl.store(carried + places, d * (1.0 - update))


@triton.jit
def to_core(  # noqa: PLR0917
    program, row0, d_gates, slope, normed, d_core, shares, weight,
    D: tl.constexpr, K: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """(b4) d_core (B, D), of the core's normed inner layer, and its shares (B, D / TN); weight (G, K, 3 K)."""
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = D // TN
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            block = (tile * TN) // K
            cols = tile * TN + tl.arange(0, TN)
            of_block = d_gates + block * 3 * K
            acc = row_product(of_block, rows, weight, cols, 3 * D, 1, 3 * K, 3 * K, BK, ROWS, TN, DOT)
            keep_normed(acc, rows, cols, tile, slope, normed, d_core, shares, D, D // TN)


@triton.jit
def to_units(  # noqa: PLR0917
    program, row0, d_core, core_shares, inverse, known, slope, normed, d_units, shares, shared,
    D: tl.constexpr, H: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, NPD: tl.constexpr, CTAS: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """(b5) d_units (B, 2 H), of the normed first layers of deter and latent, and its shares (B, 2 H / TN).

    d_core (B, D) with core_shares, known (B, 2 H), shared (3 H, D), slope and normed (B, 2 H).
    """
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = 2 * H // TN
    m = shared_mean(core_shares, rows, D // TN, D // TN, 0, NPD, D)
    for first_tile in range(0, tiles, CTAS):
        tile = first_tile + program
        if tile < tiles:
            cols = tile * TN + tl.arange(0, TN)
            acc = row_product(d_core, rows, shared, cols, D, 1, D, D, BK, ROWS, TN, DOT)
            acc -= m[:, None] * tl.load(known + rows[:, None] * 2 * H + cols[None, :])
            acc *= tl.load(inverse + rows)[:, None]
            keep_normed(acc, rows, cols, tile, slope, normed, d_units, shares, 2 * H, 2 * H // TN)
