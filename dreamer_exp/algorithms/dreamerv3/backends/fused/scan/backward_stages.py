"""The five stages of one step of the filter's way back, last step first; tiles and letters as in forward_stages.py.

Source of the arithmetic: the chain rule on Rssm.observe. An RMSNorm y = f(scale x r) with r = 1 / rms(x) has the
gradient dx = r (d - x r mean(d x r)), where d is the gradient of the normed x r: rank one a row beside r d. So its
product with a weight is r (d @ W - m (x r @ W)) with m = mean(d x r): the tile that makes d stores it and its share of
m, whoever needs the product multiplies d alone, and (x r) @ W, "known", was computed for all steps before the scan.
"""

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, tanh
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward_stages import ROWS
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import factor, fresh, row_product, under_way, wait


@triton.jit
def shares_of(  # noqa: PLR0917
    shares, rows, more, TILES: tl.constexpr, STRIDE: tl.constexpr, FIRST: tl.constexpr, NP: tl.constexpr
):
    """TILES shares a row, from column FIRST of shares (B, STRIDE) on, as (16, NP): m is their sum over the width.

    All zeros if there is no `more`.
    """
    p = tl.arange(0, NP)
    return fresh(shares + rows[:, None] * STRIDE + FIRST + p[None, :], (p[None, :] < TILES) & more, 0.0)


@triton.jit
def from_next(  # noqa: PLR0915, PLR0917
    counter, arrivals, program, row0, more, keep_next, d_feature, d_probabilities, probabilities, d_logits, carried,
    carried_next, d_units_next, shares_next, inverse_deter_next, inverse_stoch_next, known_deter_next, known_stoch_next,
    d_core_next, core_shares_next, inverse_core_next, known_own_next, from_deter, from_stoch, weight,
    D: tl.constexpr, K: tl.constexpr, KP: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, F: tl.constexpr,
    S: tl.constexpr, C: tl.constexpr, CP: tl.constexpr, CT: tl.constexpr, TN: tl.constexpr, NP: tl.constexpr,
    NPD: tl.constexpr, UNIMIX: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(b1) d_logits (B, S*C) of the posterior: straight through the latent, then through unimix and softmax; and, by
    other programs where there are enough, carried (B, D): the gradient of deter from the heads and the next step.

    d_feature (B, F) of the heads, d_probabilities (B, S*C) of the KL; if `more`, of the next step: keep (B,), d_units
    (B, 2 H) and its shares (B, 2 H / TN), d_core (B, D) and its shares, the norms' inverses (B,), what is known of
    their products, and carried_next (B, D), which its GRU passes on. from_deter (H, D), from_stoch (H, S*C) and weight
    (G, K + 3 H, K) as published.
    """
    low = d_logits.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n, k, c = tl.arange(0, HP), tl.arange(0, KP), tl.arange(0, CT * CP)
    groups: tl.constexpr = (S + CT - 1) // CT
    tiles: tl.constexpr = D // TN
    behind: tl.constexpr = groups if groups + tiles <= CTAS else 0
    kept = tl.load(keep_next + rows, mask=more, other=0.0)
    from_units = kept * tl.load(inverse_deter_next + rows)
    from_core, from_latent = kept * tl.load(inverse_core_next + rows), kept * tl.load(inverse_stoch_next + rows)
    for first_tile in tl.range(0, max(groups, tiles + behind), CTAS, num_stages=1, loop_unroll_factor=2):
        group = first_tile + program
        category = group * CT + c // CP
        inside = ((category < S) & (c % CP < C))[None, :]
        column = category * C + c % CP
        latent = rows[:, None] * S * C + column[None, :]
        w = tl.load(from_stoch + n[:, None] * S * C + column[None, :], mask=inside & (n[:, None] < H), other=0.0)
        known = tl.load(known_stoch_next + latent, mask=inside & more, other=0.0)
        d = tl.load(d_feature + rows[:, None] * F + D + column[None, :], mask=inside, other=0.0)
        d += tl.load(d_probabilities + latent, mask=inside, other=0.0)
        p = tl.load(probabilities + latent, mask=inside, other=UNIMIX / C)

        tile = first_tile + program - behind
        ours = (tile >= 0) & (tile < tiles)
        mine = tl.where(ours, tile, 0)
        cols = mine * TN + tl.arange(0, TN)
        block = (mine * TN) // K
        places = rows[:, None] * D + cols[None, :]
        own = weight + block * (K + 3 * H) * K + (cols - block * K)[None, :] * K + k[:, None]
        own = tl.load(own, mask=ours & (k[:, None] < K), other=0.0)
        w_deter = tl.load(from_deter + n[:, None] * D + cols[None, :], mask=ours & (n[:, None] < H), other=0.0)
        known_deter = tl.load(known_deter_next + places, mask=ours & more, other=0.0)
        known_own = tl.load(known_own_next + places, mask=ours & more, other=0.0)
        d_deter = tl.load(d_feature + rows[:, None] * F + cols[None, :], mask=ours, other=0.0)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if group < groups:
            d_stoch = fresh(d_units_next + rows[:, None] * 2 * H + H + n[None, :], (n[None, :] < H) & more, 0.0)
            m = shares_of(shares_next, rows, more, H // TN, 2 * H // TN, H // TN, NP)
            acc = tl.dot(under_way(d_stoch), w, input_precision=DOT)
            d += from_latent[:, None] * (acc - (tl.sum(m, 1) / H)[:, None] * known)
            soft = tl.reshape((p - UNIMIX / C) / (1.0 - UNIMIX), (ROWS, CT, CP))  # zero beyond the classes
            d3 = tl.reshape(d, (ROWS, CT, CP))
            d3 = (1.0 - UNIMIX) * soft * (d3 - tl.sum(soft * d3, 2)[:, :, None])
            tl.store(d_logits + latent, tl.reshape(d3, (ROWS, CT * CP)).to(low), mask=inside)
        if ours:
            d_units = fresh(d_units_next + rows[:, None] * 2 * H + n[None, :], (n[None, :] < H) & more, 0.0)
            d_core = fresh(d_core_next + rows[:, None] * D + block * K + k[None, :], (k[None, :] < K) & more, 0.0)
            m_units = shares_of(shares_next, rows, more, H // TN, 2 * H // TN, 0, NP)
            m_core = shares_of(core_shares_next, rows, more, D // TN, D // TN, 0, NPD)
            passed_on = fresh(carried_next + places, more, 0.0)
            acc = tl.dot(under_way(d_units), w_deter, input_precision=DOT)
            d_deter += from_units[:, None] * (acc - (tl.sum(m_units, 1) / H)[:, None] * known_deter)
            acc = tl.dot(under_way(d_core), own, input_precision=DOT)
            d_deter += from_core[:, None] * (acc - (tl.sum(m_core, 1) / D)[:, None] * known_own)
            tl.store(carried + places, d_deter + kept[:, None] * passed_on)


@triton.jit
def to_posterior(  # noqa: PLR0917
    counter, arrivals, program, row0, d_logits, slope, normed, d_posterior, shares, weight,
    H: tl.constexpr, L: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
    PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(b2) d_posterior (B, H), of the posterior's normed hidden units, and its shares (B, H / TN).

    d_logits (B, L), slope and normed (B, H), weight (L, H).
    """
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = H // TN
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        cols = tl.minimum(tile, tiles - 1) * TN + tl.arange(0, TN)
        places = rows[:, None] * H + cols[None, :]
        first = factor(weight, cols, 0, H, 1, L, BK)
        steep, x = tl.load(slope + places), tl.load(normed + places)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            acc = row_product(d_logits, rows, weight, cols, first, L, H, 1, L, BK, ROWS, TN, DOT)
            keep_normed(acc, steep, x, rows, places, tile, d_posterior, shares, tiles)


@triton.jit
def keep_normed(d, slope, normed, rows, places, tile, d_normed, shares, TILES: tl.constexpr):  # noqa: PLR0917
    """From d (16, TN), the gradient of a norm's activations, to that of its normed input; stores it and its share."""
    d = d * slope.to(tl.float32)
    tl.store(d_normed + places, d.to(d_normed.dtype.element_ty))
    tl.store(shares + rows * TILES + tile, tl.sum(d * normed.to(tl.float32), 1))


@triton.jit
def to_gates(  # noqa: PLR0917
    counter, arrivals, program, row0, carried, d_posterior, shares, inverse, known, posterior, gates, deter_before,
    keep, d_gates,
    D: tl.constexpr, K: tl.constexpr, E: tl.constexpr, H: tl.constexpr, HP: tl.constexpr, TN: tl.constexpr,
    NP: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(b3) d_gates (B, G, 3, K), and in `carried` (B, D) what the GRU passes on to the state before.

    d_posterior (B, H), known (B, D), posterior (H, D + E) as published; gates (B, G, 3, K) and deter_before (B, D) as
    the way forth left them.
    """
    low = d_gates.dtype.element_ty
    rows = row0 + tl.arange(0, ROWS)
    n = tl.arange(0, HP)
    tiles: tl.constexpr = D // TN
    of_mean, kept = tl.load(inverse + rows), tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * TN) // K
        within = mine * TN - block * K + tl.arange(0, TN)
        cols = block * K + within
        places = rows[:, None] * D + cols[None, :]
        w = tl.load(posterior + n[:, None] * (D + E) + cols[None, :], mask=n[:, None] < H, other=0.0)
        gate = rows[:, None] * 3 * D + (block * 3 * K + within)[None, :]
        reset, candidate = sigmoid(tl.load(gates + gate)), tl.load(gates + gate + K)
        update = sigmoid(tl.load(gates + gate + 2 * K))
        before = tl.load(deter_before + places) * kept[:, None]
        known_here = tl.load(known + places)
        proposed = tanh(reset * candidate)
        inner = update * (1.0 - proposed * proposed)
        to_reset, to_candidate = inner * candidate * reset * (1.0 - reset), inner * reset
        to_update = (proposed - before) * update * (1.0 - update)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            d_hidden = fresh(d_posterior + rows[:, None] * H + n[None, :], n[None, :] < H, 0.0)
            m = shares_of(shares, rows, True, H // TN, H // TN, 0, NP)
            d = tl.load(carried + places, cache_modifier=".cg")
            acc = tl.dot(under_way(d_hidden), w, input_precision=DOT) - (tl.sum(m, 1) / H)[:, None] * known_here
            d += of_mean[:, None] * acc
            tl.store(d_gates + gate, (d * to_reset).to(low))
            tl.store(d_gates + gate + K, (d * to_candidate).to(low))
            tl.store(d_gates + gate + 2 * K, (d * to_update).to(low))
            tl.store(carried + places, d * (1.0 - update))


@triton.jit
def to_core(  # noqa: PLR0917
    counter, arrivals, program, row0, d_gates, slope, normed, d_core, shares, weight,
    D: tl.constexpr, K: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, CTAS: tl.constexpr, DOT: tl.constexpr,
    PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(b4) d_core (B, D), of the core's normed inner layer, and its shares (B, D / TN); weight (G, K, 3 K)."""
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = D // TN
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * TN) // K
        cols = mine * TN + tl.arange(0, TN)
        places = rows[:, None] * D + cols[None, :]
        first = factor(weight, cols, 0, 1, 3 * K, 3 * K, BK)
        steep, x = tl.load(slope + places), tl.load(normed + places)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            of_block = d_gates + block * 3 * K
            acc = row_product(of_block, rows, weight, cols, first, 3 * D, 1, 3 * K, 3 * K, BK, ROWS, TN, DOT)
            keep_normed(acc, steep, x, rows, places, tile, d_core, shares, tiles)


@triton.jit
def to_units(  # noqa: PLR0917
    counter, arrivals, program, row0, d_core, core_shares, inverse, known, slope, normed, d_units, shares, shared,
    D: tl.constexpr, H: tl.constexpr, BK: tl.constexpr, TN: tl.constexpr, NPD: tl.constexpr, CTAS: tl.constexpr,
    DOT: tl.constexpr, PERSISTENT: tl.constexpr,
):  # fmt: skip
    """(b5) d_units (B, 2 H), of the normed first layers of deter and latent, and its shares (B, 2 H / TN).

    d_core (B, D) with core_shares, known (B, 2 H), shared (3 H, D), slope and normed (B, 2 H).
    """
    rows = row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = 2 * H // TN
    of_mean = tl.load(inverse + rows)
    for first_tile in tl.range(0, tiles, CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + program
        cols = tl.minimum(tile, tiles - 1) * TN + tl.arange(0, TN)
        places = rows[:, None] * 2 * H + cols[None, :]
        first = factor(shared, cols, 0, 1, D, D, BK)
        steep, x, known_here = tl.load(slope + places), tl.load(normed + places), tl.load(known + places)
        if first_tile == 0:
            wait(counter, arrivals, PERSISTENT)
        if tile < tiles:
            m = shares_of(core_shares, rows, True, D // TN, D // TN, 0, NPD)
            acc = row_product(d_core, rows, shared, cols, first, D, 1, D, D, BK, ROWS, TN, DOT)
            acc = (acc - (tl.sum(m, 1) / D)[:, None] * known_here) * of_mean[:, None]
            keep_normed(acc, steep, x, rows, places, tile, d_units, shares, tiles)
