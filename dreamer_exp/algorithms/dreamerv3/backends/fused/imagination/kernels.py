"""Triton kernels of an imagined step: what lies between its three matrix products (dream.py).

Each program takes a few rows of the raw products (float32, without bias), reduces over whole rows and multiplies by
small weights in tiles. Latents are drawn by inverse CDF, as maths.draw_classes does.
"""
# ruff: noqa: PLR0917  # a kernel takes every pointer and size it uses

import triton
import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, silu, tanh


@triton.jit
def _inverse_rms(
    pre, bias, rows, here, STRIDE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, EPSILON: tl.constexpr
):
    """1 / RMS (R,) of the rows of pre + bias over WIDTH columns."""
    total = tl.zeros_like(rows).to(tl.float32)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        x = tl.load(pre + rows[:, None] * STRIDE + column[None, :], mask=here[:, None] & inside[None, :], other=0.0)
        x += tl.load(bias + column, mask=inside, other=0.0)[None, :]
        total += tl.sum(x * x, 1)
    return tl.rsqrt(total / WIDTH + EPSILON)


@triton.jit
def _units(pre, bias, scale, rows, here, column, inside, inverse, STRIDE: tl.constexpr):
    """SiLU(RMSNorm(pre + bias)) of some columns (R, TILE), float32; zeros outside."""
    x = tl.load(pre + rows[:, None] * STRIDE + column[None, :], mask=here[:, None] & inside[None, :], other=0.0)
    x += tl.load(bias + column, mask=inside, other=0.0)[None, :]
    x *= inverse[:, None] * tl.load(scale + column, mask=inside, other=0.0)[None, :]
    return silu(x)


@triton.jit
def _logits(
    pre, bias, scale, weight, out_bias, rows, here, output, exists,
    STRIDE: tl.constexpr, WIDTH: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """A head's last layers (R, outputs): normed units of pre @ weight.T + out_bias, for the outputs that exist."""
    logits = tl.load(out_bias + output, mask=exists, other=0.0)[None, :] + tl.zeros((ROW_TILE, 1), tl.float32)
    inverse = _inverse_rms(pre, bias, rows, here, STRIDE, WIDTH, NORM_TILE, EPSILON)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        units = _units(pre, bias, scale, rows, here, column, inside, inverse, STRIDE)
        at = weight + output[None, :] * WIDTH + column[:, None]
        tile = tl.load(at, mask=inside[:, None] & exists[None, :], other=0.0)
        logits = tl.dot(units.to(tile.dtype), tile, logits, input_precision=DOT)
    return logits


@triton.jit
def _draw(logits, uniform, valid, CLASSES: tl.constexpr, UNIMIX: tl.constexpr, COLUMNS: tl.constexpr):
    """One-hot float32 samples (X, COLUMNS) of the unimix categoricals of logits (X, COLUMNS); CLASSES columns count."""
    logits = tl.where(valid, logits, float("-inf"))
    exponential = tl.exp(logits - tl.max(logits, 1)[:, None])
    softmax = exponential / tl.sum(exponential, 1)[:, None]
    probability = tl.where(valid, (1.0 - UNIMIX) * softmax + UNIMIX / CLASSES, 0.0)
    passed = tl.cumsum(probability, 1) <= uniform[:, None]
    drawn = tl.minimum(tl.sum(passed.to(tl.int32), 1), CLASSES - 1)  # the sum of all may round to less than `uniform`
    return (tl.arange(0, COLUMNS)[None, :] == drawn[:, None]).to(tl.float32)


@triton.jit
def _write_units(
    pre, bias, scale, out, rows, here,
    STRIDE: tl.constexpr, OUT_STRIDE: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    EPSILON: tl.constexpr,
):  # fmt: skip
    """SiLU(RMSNorm(pre + bias)) of whole rows."""
    inverse = _inverse_rms(pre, bias, rows, here, STRIDE, WIDTH, NORM_TILE, EPSILON)
    for start in range(0, WIDTH, TILE):
        column = start + tl.arange(0, TILE)
        inside = column < WIDTH
        units = _units(pre, bias, scale, rows, here, column, inside, inverse, STRIDE)
        to = out + rows[:, None] * OUT_STRIDE + column[None, :]
        tl.store(to, units.to(out.dtype.element_ty), mask=here[:, None] & inside[None, :])


@triton.jit
def _act(
    pre, bias, scale, weight, out_bias, noise, action, rows, here,
    STRIDE: tl.constexpr, UNITS: tl.constexpr, ACTIONS: tl.constexpr, DISCRETE: tl.constexpr,
    ACTION_COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    UNIMIX: tl.constexpr, MIN_STD: tl.constexpr, MAX_STD: tl.constexpr, EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Samples and writes actions; returns them as the core sees them, scaled into [-1, 1] (R, ACTION_COLUMNS)."""
    choice = tl.arange(0, ACTION_COLUMNS)
    exists = choice < ACTIONS
    if DISCRETE:
        output = choice
        output_exists = exists
    else:  # means and spreads side by side, so that the product's columns come apart in pairs
        pair = tl.arange(0, 2 * ACTION_COLUMNS)
        output = (pair % 2) * ACTIONS + pair // 2
        output_exists = pair // 2 < ACTIONS
    logits = _logits(
        pre, bias, scale, weight, out_bias, rows, here, output, output_exists,
        STRIDE, UNITS, ROW_TILE, TILE, NORM_TILE, EPSILON, DOT,
    )  # fmt: skip
    valid = exists[None, :] & here[:, None]
    if DISCRETE:
        uniform = tl.load(noise + rows, mask=here, other=0.0)
        chosen = _draw(logits, uniform, exists[None, :], ACTIONS, UNIMIX, ACTION_COLUMNS)
    else:
        mean, spread = tl.split(tl.reshape(logits, (ROW_TILE, ACTION_COLUMNS, 2)))
        normal = tl.load(noise + rows[:, None] * ACTIONS + choice[None, :], mask=valid, other=0.0)
        std = (MAX_STD - MIN_STD) * sigmoid(spread + 2.0) + MIN_STD
        chosen = tanh(mean) + std * normal
    tl.store(action + rows[:, None] * ACTIONS + choice[None, :], chosen, mask=valid)
    return tl.where(exists[None, :], chosen / tl.maximum(tl.abs(chosen), 1.0), 0.0)


@triton.jit
def act_and_units_kernel(
    actor_pre, actor_bias, actor_scale, output_weight, output_bias, noise, action,
    deter_pre, deter_bias, deter_scale, stoch_pre, stoch_bias, stoch_scale,
    action_weight, action_bias, action_scale, out,
    ROWS: tl.constexpr, ACTOR_STRIDE: tl.constexpr, PRE_STRIDE: tl.constexpr, OUT_STRIDE: tl.constexpr,
    UNITS: tl.constexpr, HIDDEN: tl.constexpr, HIDDEN_COLUMNS: tl.constexpr, ACTIONS: tl.constexpr,
    DISCRETE: tl.constexpr, ACTION_COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr,
    NORM_TILE: tl.constexpr, UNIMIX: tl.constexpr, MIN_STD: tl.constexpr, MAX_STD: tl.constexpr, EPSILON: tl.constexpr,
    DOT: tl.constexpr,
):  # fmt: skip
    """Grid (row tiles, 3): the core's units of deter and of stoch, and the action with its units, into out (N, 3 H)."""
    rows = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    here = rows < ROWS
    part = tl.program_id(1)
    if part == 0:
        scaled = _act(
            actor_pre, actor_bias, actor_scale, output_weight, output_bias, noise, action, rows, here,
            ACTOR_STRIDE, UNITS, ACTIONS, DISCRETE, ACTION_COLUMNS, ROW_TILE, TILE, NORM_TILE,
            UNIMIX, MIN_STD, MAX_STD, EPSILON, DOT,
        )  # fmt: skip
        choice = tl.arange(0, ACTION_COLUMNS)
        column = tl.arange(0, HIDDEN_COLUMNS)
        inside = column < HIDDEN
        at = action_weight + column[None, :] * ACTIONS + choice[:, None]
        weight = tl.load(at, mask=(choice < ACTIONS)[:, None] & inside[None, :], other=0.0)
        x = tl.dot(scaled.to(weight.dtype), weight, input_precision=DOT)
        x += tl.load(action_bias + column, mask=inside, other=0.0)[None, :]
        inverse = tl.rsqrt(tl.sum(x * x, 1) / HIDDEN + EPSILON)
        x *= inverse[:, None] * tl.load(action_scale + column, mask=inside, other=0.0)[None, :]
        to = out + rows[:, None] * OUT_STRIDE + 2 * HIDDEN + column[None, :]
        tl.store(to, silu(x).to(out.dtype.element_ty), mask=here[:, None] & inside[None, :])
    if part == 1:
        _write_units(
            deter_pre, deter_bias, deter_scale, out, rows, here,
            PRE_STRIDE, OUT_STRIDE, HIDDEN, TILE, NORM_TILE, EPSILON,
        )  # fmt: skip
    if part == 2:
        _write_units(
            stoch_pre, stoch_bias, stoch_scale, out + HIDDEN, rows, here,
            PRE_STRIDE, OUT_STRIDE, HIDDEN, TILE, NORM_TILE, EPSILON,
        )  # fmt: skip


@triton.jit
def _advance(reset, candidate, update, before):
    """The GRU's next state, of its gates' logits."""
    candidate = tanh(sigmoid(reset) * candidate)
    return before + sigmoid(update - 1.0) * (candidate - before)  # -1: rssm.update_offset


@triton.jit
def gru_kernel(
    pre, bias, scale, gates_weight, gates_bias, deter, next_deter, feature, core_input,
    ROWS: tl.constexpr, DETER: tl.constexpr, BLOCK: tl.constexpr, FEATURE_STRIDE: tl.constexpr,
    CORE_STRIDE: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr, NORM_TILE: tl.constexpr,
    EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Grid (row tiles, G): the core's norm over all of D, gates of a block that one program holds, the next deter.

    The next deter goes to next_deter (float32), and as operand to the feature's and the core input's first D columns.
    """
    rows = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    here = rows < ROWS
    block = tl.program_id(1)
    unit = tl.arange(0, TILE)
    is_unit = unit < BLOCK
    column = block * BLOCK + unit
    inverse = _inverse_rms(pre, bias, rows, here, DETER, DETER, NORM_TILE, EPSILON)
    units = _units(pre, bias, scale, rows, here, column, is_unit, inverse, DETER).to(gates_weight.dtype.element_ty)
    at = gates_weight + column[:, None] * (3 * BLOCK) + unit[None, :]  # [reset | candidate | update]
    square = is_unit[:, None] & is_unit[None, :]
    bias_at = gates_bias + block * 3 * BLOCK + unit
    reset = tl.dot(units, tl.load(at, mask=square, other=0.0), input_precision=DOT)
    candidate = tl.dot(units, tl.load(at + BLOCK, mask=square, other=0.0), input_precision=DOT)
    update = tl.dot(units, tl.load(at + 2 * BLOCK, mask=square, other=0.0), input_precision=DOT)
    reset += tl.load(bias_at, mask=is_unit, other=0.0)[None, :]
    candidate += tl.load(bias_at + BLOCK, mask=is_unit, other=0.0)[None, :]
    update += tl.load(bias_at + 2 * BLOCK, mask=is_unit, other=0.0)[None, :]
    mask = here[:, None] & is_unit[None, :]
    at = rows[:, None] * DETER + column[None, :]
    after = _advance(reset, candidate, update, tl.load(deter + at, mask=mask, other=0.0))
    tl.store(next_deter + at, after, mask=mask)
    operand = after.to(feature.dtype.element_ty)
    tl.store(feature + rows[:, None] * FEATURE_STRIDE + column[None, :], operand, mask=mask)
    tl.store(core_input + rows[:, None] * CORE_STRIDE + column[None, :], operand, mask=mask)


@triton.jit
def advance_kernel(
    gates, gates_bias, deter, next_deter, feature, core_input,
    ROWS: tl.constexpr, DETER: tl.constexpr, BLOCK: tl.constexpr, FEATURE_STRIDE: tl.constexpr,
    CORE_STRIDE: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Grid (rows, G): what gru_kernel ends with, of gates (G, R, 3 K) float32 without bias."""
    row = tl.program_id(0)
    block = tl.program_id(1)
    unit = tl.arange(0, TILE)
    mask = unit < BLOCK
    at = gates + (block * ROWS + row) * 3 * BLOCK + unit
    bias_at = gates_bias + block * 3 * BLOCK + unit
    reset = tl.load(at, mask=mask, other=0.0) + tl.load(bias_at, mask=mask, other=0.0)
    candidate = tl.load(at + BLOCK, mask=mask, other=0.0) + tl.load(bias_at + BLOCK, mask=mask, other=0.0)
    update = tl.load(at + 2 * BLOCK, mask=mask, other=0.0) + tl.load(bias_at + 2 * BLOCK, mask=mask, other=0.0)
    column = block * BLOCK + unit
    after = _advance(reset, candidate, update, tl.load(deter + row * DETER + column, mask=mask, other=0.0))
    tl.store(next_deter + row * DETER + column, after, mask=mask)
    operand = after.to(feature.dtype.element_ty)
    tl.store(feature + row * FEATURE_STRIDE + column, operand, mask=mask)
    tl.store(core_input + row * CORE_STRIDE + column, operand, mask=mask)


@triton.jit
def draw_kernel(
    pre, bias, scale, weight, out_bias, noise, latent,
    ROWS: tl.constexpr, STRIDE: tl.constexpr, HIDDEN: tl.constexpr, STOCH: tl.constexpr, CLASSES: tl.constexpr,
    CLASS_COLUMNS: tl.constexpr, STOCH_TILE: tl.constexpr, ROW_TILE: tl.constexpr, TILE: tl.constexpr,
    NORM_TILE: tl.constexpr, UNIMIX: tl.constexpr, EPSILON: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Grid (row tiles, tiles of categoricals): the prior's last layers, and its sample's one-hot columns."""
    first_row = tl.program_id(0) * ROW_TILE
    first_stoch = tl.program_id(1) * STOCH_TILE
    rows = first_row + tl.arange(0, ROW_TILE)
    here = rows < ROWS
    output = tl.arange(0, STOCH_TILE * CLASS_COLUMNS)
    stoch = first_stoch + output // CLASS_COLUMNS
    exists = (stoch < STOCH) & (output % CLASS_COLUMNS < CLASSES)
    output = stoch * CLASSES + output % CLASS_COLUMNS
    logits = _logits(
        pre, bias, scale, weight, out_bias, rows, here, output, exists,
        HIDDEN, HIDDEN, ROW_TILE, TILE, NORM_TILE, EPSILON, DOT,
    )  # fmt: skip
    pair = tl.arange(0, ROW_TILE * STOCH_TILE)  # of a row and a categorical
    row = first_row + pair // STOCH_TILE
    stoch = first_stoch + pair % STOCH_TILE
    mask = (row < ROWS) & (stoch < STOCH)
    uniform = tl.load(noise + row * STOCH + stoch, mask=mask, other=0.0)
    clazz = tl.arange(0, CLASS_COLUMNS)
    is_class = clazz < CLASSES
    logits = tl.reshape(logits, (ROW_TILE * STOCH_TILE, CLASS_COLUMNS))
    drawn = _draw(logits, uniform, is_class[None, :], CLASSES, UNIMIX, CLASS_COLUMNS)
    to = latent + row[:, None] * STRIDE + (stoch * CLASSES)[:, None] + clazz[None, :]
    tl.store(to, drawn.to(latent.dtype.element_ty), mask=mask[:, None] & is_class[None, :])
