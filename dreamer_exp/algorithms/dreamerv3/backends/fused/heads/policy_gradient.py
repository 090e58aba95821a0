"""The actor's REINFORCE loss after its last product, with its gradient (losses.actor_critic_losses, actor.py)."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import MAX_STD, MIN_STD, ActionKind
from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid, tanh
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX

ELEMENTS = 512  # processed by a program; more if one row is longer


def actor_gradient(
    kind: ActionKind,
    raw: Tensor,
    bias: Tensor,
    action: Tensor,
    advantage: Tensor,
    weight: Tensor,
    entropy_scale: float,
    scale: float,
    d_raw: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return losses -weight (ln pi(action) advantage + entropy_scale entropy) and entropies (R,); one launch.

    Args:
        kind: of action space.
        raw: (R, outputs) float32, product of the output layer, may be columns of a wider tensor.
        bias: (outputs,).
        action: (R, A), may be columns of a wider tensor.
        advantage: (R,) float32, contiguous.
        weight: (R,) float32, contiguous.
        entropy_scale: weight of the entropy.
        scale: of the loss.
        d_raw: (R, outputs), written, any dtype and row stride: gradient of scale times the mean of all R losses.
    """
    rows = len(raw)
    columns = triton.next_power_of_2(kind.size)
    row_tile = max(ELEMENTS // columns, 1)
    loss, entropy = torch.empty(2, rows, device=raw.device)
    kernel = _discrete if kind.discrete else _box
    constants = {"UNIMIX": UNIMIX} if kind.discrete else {
        "MIN_STD": MIN_STD, "MAX_STD": MAX_STD, "CONSTANT": 0.5 * kind.size * math.log(2.0 * math.pi)
    }  # fmt: skip
    kernel[(triton.cdiv(rows, row_tile),)](
        raw, bias, action, advantage, weight, loss, entropy, d_raw, entropy_scale, scale,
        N=rows, A=kind.size, COLUMNS=columns, ROW_TILE=row_tile,
        STRIDE=raw.stride(0), ACTION_STRIDE=action.stride(0), D_STRIDE=d_raw.stride(0), **constants,
    )  # fmt: skip
    return loss, entropy


@triton.jit
def _discrete(
    raw, bias, action, advantage, weight, loss, entropy, d_raw, entropy_scale, scale,
    N: tl.constexpr, A: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
    STRIDE: tl.constexpr, ACTION_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr, UNIMIX: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    column = tl.arange(0, COLUMNS)
    exists = (column < A)[None, :]
    mask = (row < N)[:, None] & exists
    logits = tl.load(raw + row[:, None] * STRIDE + column[None, :], mask=mask, other=0.0)
    logits += tl.load(bias + column, mask=column < A, other=0.0)[None, :]
    logits = tl.where(exists, logits, float("-inf"))
    softmax = tl.exp(logits - tl.max(logits, 1)[:, None])
    softmax /= tl.sum(softmax, 1)[:, None]
    probability = tl.where(exists, (1.0 - UNIMIX) * softmax + UNIMIX / A, 1.0)
    log_probability = tl.log(probability)  # 0 beyond the last
    actions = tl.load(action + row[:, None] * ACTION_STRIDE + column[None, :], mask=mask, other=0.0).to(tl.float32)
    advantages = tl.load(advantage + row, mask=row < N, other=0.0)
    weights = tl.load(weight + row, mask=row < N, other=0.0)
    entropies = -tl.sum(probability * log_probability, 1)
    tl.store(entropy + row, entropies, mask=row < N)
    value = tl.sum(actions * log_probability, 1) * advantages + entropy_scale * entropies
    tl.store(loss + row, -weights * value, mask=row < N)
    to_softmax = advantages[:, None] * actions / probability - entropy_scale * (log_probability + 1.0)
    to_softmax *= (UNIMIX - 1.0) / N * (scale * weights)[:, None]
    to_logits = softmax * (to_softmax - tl.sum(softmax * to_softmax, 1)[:, None])
    tl.store(d_raw + row[:, None] * D_STRIDE + column[None, :], to_logits.to(d_raw.dtype.element_ty), mask=mask)


@triton.jit
def _box(
    raw, bias, action, advantage, weight, loss, entropy, d_raw, entropy_scale, scale,
    N: tl.constexpr, A: tl.constexpr, COLUMNS: tl.constexpr, ROW_TILE: tl.constexpr,
    STRIDE: tl.constexpr, ACTION_STRIDE: tl.constexpr, D_STRIDE: tl.constexpr,
    MIN_STD: tl.constexpr, MAX_STD: tl.constexpr, CONSTANT: tl.constexpr,
):  # fmt: skip
    """Treat the first A outputs as means and the others as spreads."""
    row = tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE)
    column = tl.arange(0, COLUMNS)
    exists = column < A
    mask = (row < N)[:, None] & exists[None, :]
    at = raw + row[:, None] * STRIDE + column[None, :]
    centre = tl.load(at, mask=mask, other=0.0) + tl.load(bias + column, mask=exists, other=0.0)[None, :]
    spread = tl.load(at + A, mask=mask, other=0.0) + tl.load(bias + A + column, mask=exists, other=0.0)[None, :]
    mean = tanh(centre)
    gate = sigmoid(spread + 2.0)
    std = (MAX_STD - MIN_STD) * gate + MIN_STD
    actions = tl.load(action + row[:, None] * ACTION_STRIDE + column[None, :], mask=mask, other=0.0).to(tl.float32)
    distance = tl.where(mask, (actions - mean) / std, 0.0)
    log_std = tl.sum(tl.where(mask, tl.log(std), 0.0), 1)
    advantages = tl.load(advantage + row, mask=row < N, other=0.0)
    weights = tl.load(weight + row, mask=row < N, other=0.0)
    log_probability = -0.5 * tl.sum(distance * distance, 1) - log_std - CONSTANT
    entropies = log_std + CONSTANT + 0.5 * A
    tl.store(entropy + row, entropies, mask=row < N)
    tl.store(loss + row, -weights * (log_probability * advantages + entropy_scale * entropies), mask=row < N)
    factor = (-scale * weights / N)[:, None]
    to_mean = factor * advantages[:, None] * distance / std
    to_std = factor * (advantages[:, None] * (distance * distance - 1.0) + entropy_scale) / std
    to_centre = to_mean * (1.0 - mean * mean)
    to_spread = to_std * (MAX_STD - MIN_STD) * gate * (1.0 - gate)
    to = d_raw + row[:, None] * D_STRIDE + column[None, :]
    tl.store(to, to_centre.to(d_raw.dtype.element_ty), mask=mask)
    tl.store(to + A, to_spread.to(d_raw.dtype.element_ty), mask=mask)
