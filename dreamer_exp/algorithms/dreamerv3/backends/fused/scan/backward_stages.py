"""The five stages of one step of the backward scan, last step first; tiles and arguments as in forward_stages.py.

The arithmetic is the chain rule on Rssm.observe. An RMSNorm y = f(scale x r) with r = 1 / RMS(x) has the gradient
dx = r (d - x r mean(d x r)), where d is the gradient of the normed input x r: besides r d, it is rank one in each row.
So its product with a weight is r (d @ W - m (x r @ W)) with m = mean(d x r). The tile that computes d stores it with
its partial sum of m; code that needs the product multiplies only d. (x r) @ W, "projected" here, is computed for all
steps before the scan.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, tanh
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward_stages import ROWS
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import (
    after_loads,
    load_l2,
    row_product,
    wait,
    weight_tile,
)


class NormGradient(NamedTuple):
    """What the product of a norm's gradient with a weight needs, at one step."""

    d: Any  # gradient of the normed input, operand dtype
    partials: Any  # partial sums of m, float32, one per tile
    inverse: Any  # (B,), r
    projected: Any  # (x r) @ W, float32


@triton.jit
def partials_of(  # noqa: PLR0917
    partials, rows, more, TILES: tl.constexpr, STRIDE: tl.constexpr, FIRST: tl.constexpr, PADDED: tl.constexpr
):
    """Load TILES partial sums per row from column FIRST of partials (B, STRIDE), as (16, PADDED); zeros unless `more`.

    m is their sum, divided by the width of the norm.
    """
    p = tl.arange(0, PADDED)
    return load_l2(partials + rows[:, None] * STRIDE + FIRST + p[None, :], (p[None, :] < TILES) & more, 0.0)


@triton.jit
def to_state(  # noqa: PLR0915, PLR0917
    place, more, keep_next, d_feature, d_probabilities, probabilities, d_logits, d_deter, d_deter_next,
    deter, stoch, core, from_deter, from_stoch, core_weight, s,
):  # fmt: skip
    """(b1) Write d_logits (B, S*C) of the posterior, and d_deter (B, D) from the heads and the next step.

    d_logits goes straight through the latent, then through unimix and softmax. Other programs compute d_deter, if there
    are enough. d_feature (B, F) comes from the heads, d_probabilities (B, S*C) from the KL. Of the next step, if
    `more`: keep (B,), d_deter_next (B, D) that its GRU passes on, and the NormGradients of the units of deter and of
    stoch (d (B, 2 U)) and of the core (d (B, D)). from_deter (U, D), from_stoch (U, S*C) and core_weight
    (G, K + 3 U, K) as published.
    """
    low = d_logits.dtype.element_ty
    rows = place.row0 + tl.arange(0, ROWS)
    n, k, c = tl.arange(0, s.UP), tl.arange(0, s.KP), tl.arange(0, s.CT * s.CP)
    groups: tl.constexpr = (s.S + s.CT - 1) // s.CT
    tiles: tl.constexpr = s.D // s.TN
    behind: tl.constexpr = groups if groups + tiles <= s.CTAS else 0
    kept = tl.load(keep_next + rows, mask=more, other=0.0)
    from_units = kept * tl.load(deter.inverse + rows)
    from_core, from_latent = kept * tl.load(core.inverse + rows), kept * tl.load(stoch.inverse + rows)
    for first_tile in tl.range(0, max(groups, tiles + behind), s.CTAS, num_stages=1, loop_unroll_factor=2):
        group = first_tile + place.program
        category = group * s.CT + c // s.CP
        inside = ((category < s.S) & (c % s.CP < s.C))[None, :]
        column = category * s.C + c % s.CP
        latent = rows[:, None] * s.S * s.C + column[None, :]
        w = tl.load(from_stoch + n[:, None] * s.S * s.C + column[None, :], mask=inside & (n[:, None] < s.U), other=0.0)
        projected = tl.load(stoch.projected + latent, mask=inside & more, other=0.0)
        d = tl.load(d_feature + rows[:, None] * s.F + s.D + column[None, :], mask=inside, other=0.0)
        d += tl.load(d_probabilities + latent, mask=inside, other=0.0)
        p = tl.load(probabilities + latent, mask=inside, other=s.UNIMIX / s.C)

        tile = first_tile + place.program - behind
        is_tile = (tile >= 0) & (tile < tiles)
        mine = tl.where(is_tile, tile, 0)
        cols = mine * s.TN + tl.arange(0, s.TN)
        block = (mine * s.TN) // s.K
        at = rows[:, None] * s.D + cols[None, :]
        own = core_weight + block * (s.K + 3 * s.U) * s.K + (cols - block * s.K)[None, :] * s.K + k[:, None]
        own = tl.load(own, mask=is_tile & (k[:, None] < s.K), other=0.0)
        w_deter = tl.load(from_deter + n[:, None] * s.D + cols[None, :], mask=is_tile & (n[:, None] < s.U), other=0.0)
        projected_deter = tl.load(deter.projected + at, mask=is_tile & more, other=0.0)
        projected_own = tl.load(core.projected + at, mask=is_tile & more, other=0.0)
        to_deter = tl.load(d_feature + rows[:, None] * s.F + cols[None, :], mask=is_tile, other=0.0)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if group < groups:
            d_stoch = load_l2(stoch.d + rows[:, None] * 2 * s.U + s.U + n[None, :], (n[None, :] < s.U) & more, 0.0)
            m = partials_of(stoch.partials, rows, more, s.U // s.TN, 2 * s.U // s.TN, s.U // s.TN, s.UTP)
            acc = tl.dot(after_loads(d_stoch), w, input_precision=s.DOT)
            d += from_latent[:, None] * (acc - (tl.sum(m, 1) / s.U)[:, None] * projected)
            soft = tl.reshape((p - s.UNIMIX / s.C) / (1.0 - s.UNIMIX), (ROWS, s.CT, s.CP))  # zero beyond the classes
            d3 = tl.reshape(d, (ROWS, s.CT, s.CP))
            d3 = (1.0 - s.UNIMIX) * soft * (d3 - tl.sum(soft * d3, 2)[:, :, None])
            tl.store(d_logits + latent, tl.reshape(d3, (ROWS, s.CT * s.CP)).to(low), mask=inside)
        if is_tile:
            d_units = load_l2(deter.d + rows[:, None] * 2 * s.U + n[None, :], (n[None, :] < s.U) & more, 0.0)
            d_core = load_l2(core.d + rows[:, None] * s.D + block * s.K + k[None, :], (k[None, :] < s.K) & more, 0.0)
            m_units = partials_of(deter.partials, rows, more, s.U // s.TN, 2 * s.U // s.TN, 0, s.UTP)
            m_core = partials_of(core.partials, rows, more, s.D // s.TN, s.D // s.TN, 0, s.DTP)
            passed_on = load_l2(d_deter_next + at, more, 0.0)
            acc = tl.dot(after_loads(d_units), w_deter, input_precision=s.DOT)
            to_deter += from_units[:, None] * (acc - (tl.sum(m_units, 1) / s.U)[:, None] * projected_deter)
            acc = tl.dot(after_loads(d_core), own, input_precision=s.DOT)
            to_deter += from_core[:, None] * (acc - (tl.sum(m_core, 1) / s.D)[:, None] * projected_own)
            tl.store(d_deter + at, to_deter + kept[:, None] * passed_on)


@triton.jit
def to_posterior(place, d_logits, slope, normed, d_posterior, partials, weight, s):  # noqa: PLR0917
    """(b2) Write d_posterior (B, U), of the posterior's normed hidden units, and its partial sums (B, U / TN).

    d_logits (B, L), slope and normed (B, U), weight (L, U).
    """
    rows = place.row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = s.U // s.TN
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        cols = tl.minimum(tile, tiles - 1) * s.TN + tl.arange(0, s.TN)
        at = rows[:, None] * s.U + cols[None, :]
        first = weight_tile(weight, cols, 0, s.U, 1, s.L, s.BKL)
        steep, x = tl.load(slope + at), tl.load(normed + at)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            acc = row_product(d_logits, rows, weight, cols, first, s.L, s.U, 1, s.L, s.BKL, ROWS, s.TN, s.DOT)
            store_norm_gradient(acc, steep, x, rows, at, tile, d_posterior, partials, tiles)


@triton.jit
def store_norm_gradient(d, slope, normed, rows, at, tile, d_normed, partials, TILES: tl.constexpr):  # noqa: PLR0917
    """Store the gradient of a norm's normed input, from d (16, TN), that of its activations, and its partial sum."""
    d = d * slope.to(tl.float32)
    tl.store(d_normed + at, d.to(d_normed.dtype.element_ty))
    tl.store(partials + rows * TILES + tile, tl.sum(d * normed.to(tl.float32), 1))


@triton.jit
def to_gates(place, d_deter, posterior, weight, gates, deter_before, keep, d_gates, s):  # noqa: PLR0917
    """(b3) Write d_gates (B, G, 3, K), and replace d_deter (B, D) by what the GRU passes on to the previous state.

    posterior is the NormGradient of the posterior's hidden layer (d (B, U), projected (B, D)), weight (U, D + E) as
    published; gates (B, G, 3, K) and deter_before (B, D) as the forward scan stored them.
    """
    low = d_gates.dtype.element_ty
    rows = place.row0 + tl.arange(0, ROWS)
    n = tl.arange(0, s.UP)
    tiles: tl.constexpr = s.D // s.TN
    inverse, kept = tl.load(posterior.inverse + rows), tl.load(keep + rows)
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * s.TN) // s.K
        within = mine * s.TN - block * s.K + tl.arange(0, s.TN)
        cols = block * s.K + within
        at = rows[:, None] * s.D + cols[None, :]
        w = tl.load(weight + n[:, None] * (s.D + s.E) + cols[None, :], mask=n[:, None] < s.U, other=0.0)
        gate = rows[:, None] * 3 * s.D + (block * 3 * s.K + within)[None, :]
        reset, candidate = sigmoid(tl.load(gates + gate)), tl.load(gates + gate + s.K)
        update = sigmoid(tl.load(gates + gate + 2 * s.K))
        before = tl.load(deter_before + at) * kept[:, None]
        projected = tl.load(posterior.projected + at)
        proposed = tanh(reset * candidate)
        inner = update * (1.0 - proposed * proposed)
        to_reset, to_candidate = inner * candidate * reset * (1.0 - reset), inner * reset
        to_update = (proposed - before) * update * (1.0 - update)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            d_hidden = load_l2(posterior.d + rows[:, None] * s.U + n[None, :], n[None, :] < s.U, 0.0)
            m = partials_of(posterior.partials, rows, True, s.U // s.TN, s.U // s.TN, 0, s.UTP)
            d = tl.load(d_deter + at, cache_modifier=".cg")
            acc = tl.dot(after_loads(d_hidden), w, input_precision=s.DOT) - (tl.sum(m, 1) / s.U)[:, None] * projected
            d += inverse[:, None] * acc
            tl.store(d_gates + gate, (d * to_reset).to(low))
            tl.store(d_gates + gate + s.K, (d * to_candidate).to(low))
            tl.store(d_gates + gate + 2 * s.K, (d * to_update).to(low))
            tl.store(d_deter + at, d * (1.0 - update))


@triton.jit
def to_core(place, d_gates, slope, normed, d_core, partials, weight, s):  # noqa: PLR0917
    """(b4) Write d_core (B, D), of the core's normed inner layer, and its partial sums (B, D / TN).

    d_gates (B, G, 3, K), slope and normed (B, D), weight (G, K, 3 K).
    """
    rows = place.row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = s.D // s.TN
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        mine = tl.minimum(tile, tiles - 1)
        block = (mine * s.TN) // s.K
        cols = mine * s.TN + tl.arange(0, s.TN)
        at = rows[:, None] * s.D + cols[None, :]
        first = weight_tile(weight, cols, 0, 1, 3 * s.K, 3 * s.K, s.BKG)
        steep, x = tl.load(slope + at), tl.load(normed + at)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            of_block = d_gates + block * 3 * s.K
            acc = row_product(
                of_block, rows, weight, cols, first, 3 * s.D, 1, 3 * s.K, 3 * s.K, s.BKG, ROWS, s.TN, s.DOT
            )
            store_norm_gradient(acc, steep, x, rows, at, tile, d_core, partials, tiles)


@triton.jit
def to_units(place, core, slope, normed, d_units, partials, shared, s):  # noqa: PLR0917
    """(b5) Write d_units (B, 2 U), of the normed first layers of deter and latent, and its partial sums (B, 2 U / TN).

    core is the NormGradient of the core's inner layer (d (B, D), projected (B, 2 U)); shared (3 U, D), slope and normed
    (B, 2 U).
    """
    rows = place.row0 + tl.arange(0, ROWS)
    tiles: tl.constexpr = 2 * s.U // s.TN
    inverse = tl.load(core.inverse + rows)
    for first_tile in tl.range(0, tiles, s.CTAS, num_stages=1, loop_unroll_factor=2):
        tile = first_tile + place.program
        cols = tl.minimum(tile, tiles - 1) * s.TN + tl.arange(0, s.TN)
        at = rows[:, None] * 2 * s.U + cols[None, :]
        first = weight_tile(shared, cols, 0, 1, s.D, s.D, s.BK)
        steep, x, projected = tl.load(slope + at), tl.load(normed + at), tl.load(core.projected + at)
        if first_tile == 0:
            wait(place, s.PERSISTENT)
        if tile < tiles:
            m = partials_of(core.partials, rows, True, s.D // s.TN, s.D // s.TN, 0, s.DTP)
            acc = row_product(core.d, rows, shared, cols, first, s.D, 1, s.D, s.D, s.BK, ROWS, s.TN, s.DOT)
            acc = (acc - (tl.sum(m, 1) / s.D)[:, None] * projected) * inverse[:, None]
            store_norm_gradient(acc, steep, x, rows, at, tile, d_units, partials, tiles)
