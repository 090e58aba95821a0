"""Triton kernels of an imagined step: what comes between its three matrix products (rollout.py).

Each program takes a few rows of the products (float32, without bias), reduces over complete rows, and multiplies by
small weights in tiles. Latents are sampled by inverse CDF, as in categorical.draw_classes.
"""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

from typing import Any, NamedTuple

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, silu, tanh


class RolloutSizes(NamedTuple):
    """Compile-time constants of the kernels: sizes, row strides, tiles, and constants of the model."""

    ROWS: Any  # N
    UNITS: Any  # of the actor's layers
    HIDDEN: Any  # units of the recurrent core's inner layers
    HIDDEN_COLUMNS: Any  # *_COLUMNS: the power of two that holds them
    DETER: Any
    BLOCK: Any  # units of a block, D / G
    BLOCK_COLUMNS: Any
    ACTIONS: Any
    ACTION_COLUMNS: Any
    DISCRETE: Any
    STOCH: Any
    CLASSES: Any
    CLASS_COLUMNS: Any
    ACTOR_STRIDE: Any  # of the actor's last hidden product
    FIRST_STRIDE: Any  # of the first products of actor, deter and latent
    CORE_STRIDE: Any  # of the core's input
    FEATURE_STRIDE: Any
    ROW_TILE: Any  # rows per program
    STOCH_TILE: Any  # categoricals per program
    TILE: Any  # columns that a program multiplies at once: of actor and first layers, of the prior
    PRIOR_TILE: Any
    NORM_TILE: Any  # columns that a program squares at once: of actor and first layers, of the prior, of the core
    PRIOR_NORM_TILE: Any
    CORE_NORM_TILE: Any
    UNIMIX: Any
    MIN_STD: Any
    MAX_STD: Any
    EPSILON: Any  # of RMSNorm
    DOT: Any  # input_precision of tl.dot


class Rows(NamedTuple):
    """Some rows of a product: pointer, row numbers (R,), and which of them exist (R,)."""

    pre: Any
    index: Any
    exist: Any


@triton.jit
def _inverse_rms(rows, bias, STRIDE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, EPSILON: tl.constexpr):
    """Return 1 / RMS (R,) of rows of product + bias over WIDTH columns."""
    total = tl.zeros_like(rows.index).to(tl.float32)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        at = rows.pre + rows.index[:, None] * STRIDE + column[None, :]
        x = tl.load(at, mask=rows.exist[:, None] & inside[None, :], other=0.0)
        x += tl.load(bias + column, mask=inside, other=0.0)[None, :]
        total += tl.sum(x * x, 1)
    return tl.rsqrt(total / WIDTH + EPSILON)


@triton.jit
def _units(rows, norm, column, inside, inverse, STRIDE: tl.constexpr):
    """Return SiLU(RMSNorm(product + bias) * scale) of some columns (R, TILE), float32; zeros outside."""
    at = rows.pre + rows.index[:, None] * STRIDE + column[None, :]
    x = tl.load(at, mask=rows.exist[:, None] & inside[None, :], other=0.0)
    x += tl.load(norm.bias + column, mask=inside, other=0.0)[None, :]
    x *= inverse[:, None] * tl.load(norm.scale + column, mask=inside, other=0.0)[None, :]
    return silu(x)


@triton.jit
def _logits(
    rows, norm, layer, output, exists,
    STRIDE: tl.constexpr, WIDTH: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Return a head's logits (R, outputs), from the product of its last normed layer, for the outputs that exist."""
    logits = tl.load(layer.bias + output, mask=exists, other=0.0)[None, :] + tl.zeros((ROW_TILE, 1), tl.float32)
    inverse = _inverse_rms(rows, norm.bias, STRIDE, WIDTH, NORM_TILE, EPSILON)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        units = _units(rows, norm, column, inside, inverse, STRIDE)
        at = layer.weight + output[None, :] * WIDTH + column[:, None]
        tile = tl.load(at, mask=inside[:, None] & exists[None, :], other=0.0)
        logits = tl.dot(units.to(tile.dtype), tile, logits, input_precision=DOT)
    return logits


@triton.jit
def _sample(logits, uniform, valid, CLASSES: tl.constexpr, UNIMIX: tl.constexpr, COLUMNS: tl.constexpr):
    """Return one-hot float32 samples (X, COLUMNS) of unimix categoricals with logits (X, COLUMNS), CLASSES of them."""
    logits = tl.where(valid, logits, float("-inf"))
    exponential = tl.exp(logits - tl.max(logits, 1)[:, None])
    softmax = exponential / tl.sum(exponential, 1)[:, None]
    probability = tl.where(valid, (1.0 - UNIMIX) * softmax + UNIMIX / CLASSES, 0.0)
    passed = tl.cumsum(probability, 1) <= uniform[:, None]
    chosen = tl.minimum(tl.sum(passed.to(tl.int32), 1), CLASSES - 1)  # the total may round to less than `uniform`
    return (tl.arange(0, COLUMNS)[None, :] == chosen[:, None]).to(tl.float32)


@triton.jit
def _write_units(
    rows, norm, out,
    STRIDE: tl.constexpr, OUT_STRIDE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    EPSILON: tl.constexpr,
):  # fmt: skip
    """Write SiLU(RMSNorm(product + bias) * scale) of complete rows."""
    inverse = _inverse_rms(rows, norm.bias, STRIDE, WIDTH, NORM_TILE, EPSILON)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        units = _units(rows, norm, column, inside, inverse, STRIDE)
        to = out + rows.index[:, None] * OUT_STRIDE + column[None, :]
        tl.store(to, units.to(out.dtype.element_ty), mask=rows.exist[:, None] & inside[None, :])


@triton.jit
def _act(rows, norm, layer, noise, action, s):
    """Sample and write actions; return them as the core reads them, scaled into [-1, 1] (R, ACTION_COLUMNS)."""
    choice = tl.arange(0, s.ACTION_COLUMNS)
    exists = choice < s.ACTIONS
    if s.DISCRETE:
        output = choice
        output_exists = exists
    else:  # alternate means and spreads, so that the product's columns can be split in pairs
        pair = tl.arange(0, 2 * s.ACTION_COLUMNS)
        output = (pair % 2) * s.ACTIONS + pair // 2
        output_exists = pair // 2 < s.ACTIONS
    logits = _logits(
        rows, norm, layer, output, output_exists,
        s.ACTOR_STRIDE, s.UNITS, s.ROW_TILE, s.TILE, s.NORM_TILE, s.EPSILON, s.DOT,
    )  # fmt: skip
    valid = exists[None, :] & rows.exist[:, None]
    if s.DISCRETE:
        uniform = tl.load(noise + rows.index, mask=rows.exist, other=0.0)
        chosen = _sample(logits, uniform, exists[None, :], s.ACTIONS, s.UNIMIX, s.ACTION_COLUMNS)
    else:
        mean, spread = tl.split(tl.reshape(logits, (s.ROW_TILE, s.ACTION_COLUMNS, 2)))
        normal = tl.load(noise + rows.index[:, None] * s.ACTIONS + choice[None, :], mask=valid, other=0.0)
        std = (s.MAX_STD - s.MIN_STD) * sigmoid(spread + 2.0) + s.MIN_STD
        chosen = tanh(mean) + std * normal
    tl.store(action + rows.index[:, None] * s.ACTIONS + choice[None, :], chosen, mask=valid)
    return tl.where(exists[None, :], chosen / tl.maximum(tl.abs(chosen), 1.0), 0.0)


@triton.jit
def act_and_units_kernel(
    actor_pre, actor_norm, actor_output, noise, action, deter_pre, deter_norm, stoch_pre, stoch_norm, from_action, out,
    s,
):  # fmt: skip
    """Write the actions, and the units of the core's input layers to out (N, 3 U): of deter, of stoch, of the action.

    Grid (row tiles, 3), one program for each of the three. s is a RolloutSizes.
    """
    index = tl.program_id(0) * s.ROW_TILE + tl.arange(0, s.ROW_TILE)
    exist = index < s.ROWS
    third = tl.program_id(1)
    if third == 0:
        scaled = _act(Rows(actor_pre, index, exist), actor_norm, actor_output, noise, action, s)
        choice = tl.arange(0, s.ACTION_COLUMNS)
        column = tl.arange(0, s.HIDDEN_COLUMNS)
        inside = column < s.HIDDEN
        at = from_action.weight + column[None, :] * s.ACTIONS + choice[:, None]
        weight = tl.load(at, mask=(choice < s.ACTIONS)[:, None] & inside[None, :], other=0.0)
        x = tl.dot(scaled.to(weight.dtype), weight, input_precision=s.DOT)
        x += tl.load(from_action.bias + column, mask=inside, other=0.0)[None, :]
        inverse = tl.rsqrt(tl.sum(x * x, 1) / s.HIDDEN + s.EPSILON)
        x *= inverse[:, None] * tl.load(from_action.scale + column, mask=inside, other=0.0)[None, :]
        to = out + index[:, None] * s.CORE_STRIDE + 2 * s.HIDDEN + column[None, :]
        tl.store(to, silu(x).to(out.dtype.element_ty), mask=exist[:, None] & inside[None, :])
    if third == 1:
        _write_units(
            Rows(deter_pre, index, exist), deter_norm, out,
            s.FIRST_STRIDE, s.CORE_STRIDE, s.HIDDEN, s.TILE, s.NORM_TILE, s.EPSILON,
        )  # fmt: skip
    if third == 2:
        _write_units(
            Rows(stoch_pre, index, exist), stoch_norm, out + s.HIDDEN,
            s.FIRST_STRIDE, s.CORE_STRIDE, s.HIDDEN, s.TILE, s.NORM_TILE, s.EPSILON,
        )  # fmt: skip


@triton.jit
def _next_deter(reset, candidate, update, before):
    """Return the GRU's next state from the logits of its gates."""
    candidate = tanh(sigmoid(reset) * candidate)
    return before + sigmoid(update - 1.0) * (candidate - before)  # -1: rssm.update_offset


@triton.jit
def gru_kernel(pre, norm, gates, deter, next_deter, feature, core_input, s):
    """Write the next deter: the core's norm over D units, and the gates of one block per program; grid (row tiles, G).

    It goes to next_deter (float32), and in the operand dtype to the first D columns of feature and core_input.
    """
    index = tl.program_id(0) * s.ROW_TILE + tl.arange(0, s.ROW_TILE)
    exist = index < s.ROWS
    block = tl.program_id(1)
    unit = tl.arange(0, s.BLOCK_COLUMNS)
    is_unit = unit < s.BLOCK
    column = block * s.BLOCK + unit
    rows = Rows(pre, index, exist)
    inverse = _inverse_rms(rows, norm.bias, s.DETER, s.DETER, s.CORE_NORM_TILE, s.EPSILON)
    units = _units(rows, norm, column, is_unit, inverse, s.DETER).to(gates.weight.dtype.element_ty)
    at = gates.weight + column[:, None] * (3 * s.BLOCK) + unit[None, :]  # [reset | candidate | update]
    square = is_unit[:, None] & is_unit[None, :]
    bias_at = gates.bias + block * 3 * s.BLOCK + unit
    reset = tl.dot(units, tl.load(at, mask=square, other=0.0), input_precision=s.DOT)
    candidate = tl.dot(units, tl.load(at + s.BLOCK, mask=square, other=0.0), input_precision=s.DOT)
    update = tl.dot(units, tl.load(at + 2 * s.BLOCK, mask=square, other=0.0), input_precision=s.DOT)
    reset += tl.load(bias_at, mask=is_unit, other=0.0)[None, :]
    candidate += tl.load(bias_at + s.BLOCK, mask=is_unit, other=0.0)[None, :]
    update += tl.load(bias_at + 2 * s.BLOCK, mask=is_unit, other=0.0)[None, :]
    mask = exist[:, None] & is_unit[None, :]
    at = index[:, None] * s.DETER + column[None, :]
    after = _next_deter(reset, candidate, update, tl.load(deter + at, mask=mask, other=0.0))
    tl.store(next_deter + at, after, mask=mask)
    operand = after.to(feature.dtype.element_ty)
    tl.store(feature + index[:, None] * s.FEATURE_STRIDE + column[None, :], operand, mask=mask)
    tl.store(core_input + index[:, None] * s.CORE_STRIDE + column[None, :], operand, mask=mask)


@triton.jit
def next_deter_kernel(gates_pre, gates_bias, deter, next_deter, feature, core_input, s):
    """Write the same as gru_kernel, from the products of the gates (G, N, 3 K) float32; grid (N, G)."""
    row = tl.program_id(0)
    block = tl.program_id(1)
    unit = tl.arange(0, s.BLOCK_COLUMNS)
    mask = unit < s.BLOCK
    at = gates_pre + (block * s.ROWS + row) * 3 * s.BLOCK + unit
    bias_at = gates_bias + block * 3 * s.BLOCK + unit
    reset = tl.load(at, mask=mask, other=0.0) + tl.load(bias_at, mask=mask, other=0.0)
    candidate = tl.load(at + s.BLOCK, mask=mask, other=0.0) + tl.load(bias_at + s.BLOCK, mask=mask, other=0.0)
    update = tl.load(at + 2 * s.BLOCK, mask=mask, other=0.0) + tl.load(bias_at + 2 * s.BLOCK, mask=mask, other=0.0)
    column = block * s.BLOCK + unit
    after = _next_deter(reset, candidate, update, tl.load(deter + row * s.DETER + column, mask=mask, other=0.0))
    tl.store(next_deter + row * s.DETER + column, after, mask=mask)
    operand = after.to(feature.dtype.element_ty)
    tl.store(feature + row * s.FEATURE_STRIDE + column, operand, mask=mask)
    tl.store(core_input + row * s.CORE_STRIDE + column, operand, mask=mask)


@triton.jit
def latent_kernel(pre, norm, output_layer, noise, latent, s):
    """Sample one-hot latents, from the prior's last hidden product; grid (row tiles, tiles of categoricals)."""
    first_row = tl.program_id(0) * s.ROW_TILE
    first_stoch = tl.program_id(1) * s.STOCH_TILE
    index = first_row + tl.arange(0, s.ROW_TILE)
    exist = index < s.ROWS
    output = tl.arange(0, s.STOCH_TILE * s.CLASS_COLUMNS)
    stoch = first_stoch + output // s.CLASS_COLUMNS
    exists = (stoch < s.STOCH) & (output % s.CLASS_COLUMNS < s.CLASSES)
    output = stoch * s.CLASSES + output % s.CLASS_COLUMNS
    logits = _logits(
        Rows(pre, index, exist), norm, output_layer, output, exists,
        s.HIDDEN, s.HIDDEN, s.ROW_TILE, s.PRIOR_TILE, s.PRIOR_NORM_TILE, s.EPSILON, s.DOT,
    )  # fmt: skip
    pair = tl.arange(0, s.ROW_TILE * s.STOCH_TILE)  # of a row and a categorical
    row = first_row + pair // s.STOCH_TILE
    stoch = first_stoch + pair % s.STOCH_TILE
    mask = (row < s.ROWS) & (stoch < s.STOCH)
    uniform = tl.load(noise + row * s.STOCH + stoch, mask=mask, other=0.0)
    class_index = tl.arange(0, s.CLASS_COLUMNS)
    is_class = class_index < s.CLASSES
    logits = tl.reshape(logits, (s.ROW_TILE * s.STOCH_TILE, s.CLASS_COLUMNS))
    sample = _sample(logits, uniform, is_class[None, :], s.CLASSES, s.UNIMIX, s.CLASS_COLUMNS)
    to = latent + row[:, None] * s.FEATURE_STRIDE + (stoch * s.CLASSES)[:, None] + class_index[None, :]
    tl.store(to, sample.to(latent.dtype.element_ty), mask=mask[:, None] & is_class[None, :])
