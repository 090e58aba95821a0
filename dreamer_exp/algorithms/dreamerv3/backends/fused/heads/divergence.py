"""Dynamics and representation losses: one KL divergence with two separate gradients (losses.world_model_losses)."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX


def divergence(
    posterior: Tensor,
    prior_raw: Tensor,
    prior_bias: Tensor,
    free_nats: float,
    dynamics_scale: float,
    representation_scale: float,
    d_prior_raw: Tensor,
    d_posterior: Tensor,
) -> Tensor:
    """Return max(KL(posterior || prior), free_nats) (N,) in nats; its mean is the value of both losses. One launch.

    prior_raw and d_prior_raw may be columns of wider tensors.

    Args:
        posterior: (N, S, C) float32 probabilities, contiguous, none zero.
        prior_raw: (N, S*C) float32, product of the prior's output layer; the prior is softmax(prior_raw + prior_bias)
            with unimix.
        prior_bias: (S*C,).
        free_nats: least divergence that has a gradient.
        dynamics_scale: of the dynamics loss.
        representation_scale: of the representation loss.
        d_prior_raw: (N, S*C) of any dtype, written: gradient of dynamics_scale times the mean.
        d_posterior: (N, S*C) float32, written: gradient of representation_scale times the mean, with respect to each
            probability independently.
    """
    rows, stoch, classes = posterior.shape
    class_columns, stoch_rows = triton.next_power_of_2(classes), triton.next_power_of_2(stoch)
    kl = torch.empty(rows, device=posterior.device)
    _divergence[(rows,)](
        posterior, prior_raw, prior_bias, kl, d_prior_raw, d_posterior,
        free_nats, dynamics_scale / rows, representation_scale / rows,
        STOCH=stoch, CLASSES=classes, STOCH_ROWS=stoch_rows, CLASS_COLUMNS=class_columns, UNIMIX=UNIMIX,
        STRIDE=prior_raw.stride(0), D_PRIOR_STRIDE=d_prior_raw.stride(0), D_POSTERIOR_STRIDE=d_posterior.stride(0),
        num_warps=min(max(stoch_rows * class_columns // 256, 1), 8),
    )  # fmt: skip
    return kl


@triton.jit
def _divergence(
    posterior, prior_raw, prior_bias, kl, d_prior_raw, d_posterior, free_nats, to_prior, to_posterior,
    STOCH: tl.constexpr, CLASSES: tl.constexpr, STOCH_ROWS: tl.constexpr, CLASS_COLUMNS: tl.constexpr,
    UNIMIX: tl.constexpr, STRIDE: tl.constexpr, D_PRIOR_STRIDE: tl.constexpr, D_POSTERIOR_STRIDE: tl.constexpr,
):  # fmt: skip
    """Process one row per program."""
    row = tl.program_id(0)
    stoch = tl.arange(0, STOCH_ROWS)[:, None]
    clazz = tl.arange(0, CLASS_COLUMNS)[None, :]
    mask = (stoch < STOCH) & (clazz < CLASSES)
    at = stoch * CLASSES + clazz
    p = tl.load(posterior + row * (STOCH * CLASSES) + at, mask=mask, other=1.0)
    logits = tl.load(prior_raw + row * STRIDE + at, mask=mask, other=0.0)
    logits += tl.load(prior_bias + at, mask=mask, other=0.0)
    logits = tl.where(clazz < CLASSES, logits, float("-inf"))  # padding rows beyond S stay finite
    softmax = tl.exp(logits - tl.max(logits, 1)[:, None])
    softmax /= tl.sum(softmax, 1)[:, None]
    q = tl.where(mask, (1.0 - UNIMIX) * softmax + UNIMIX / CLASSES, 1.0)
    difference = tl.log(p) - tl.log(q)  # 0 beyond the mask
    total = tl.sum(tl.sum(p * difference, 1), 0)
    gate = tl.where(total < free_nats, 0.0, 1.0)  # 1 for NaN, which must not disappear
    tl.store(kl + row, tl.where(total < free_nats, free_nats, total))
    to_softmax = tl.where(mask, (UNIMIX - 1.0) * p / q, 0.0)
    to_logits = softmax * (to_softmax - tl.sum(softmax * to_softmax, 1)[:, None])
    to = d_prior_raw + row * D_PRIOR_STRIDE + at
    tl.store(to, (gate * to_prior * to_logits).to(d_prior_raw.dtype.element_ty), mask=mask)
    tl.store(d_posterior + row * D_POSTERIOR_STRIDE + at, gate * to_posterior * (difference + 1.0), mask=mask)
