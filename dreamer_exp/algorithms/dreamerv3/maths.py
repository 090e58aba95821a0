"""Functions of DreamerV3: symlog, two-hot regression, unimix categoricals, lambda returns.

Equation numbers are those of Hafner et al. 2023 (arXiv:2301.04104v2).
"""

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.sizes import BINS

UNIMIX = 0.01  # share of the uniform distribution in every categorical


def symlog(x: Tensor) -> Tensor:
    """Return sign(x) ln(|x| + 1) (eq. 9)."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def symexp(x: Tensor) -> Tensor:
    """Return sign(x) (exp(|x|) - 1), the inverse of symlog (eq. 9)."""
    return torch.sign(x) * torch.expm1(torch.abs(x))


def two_hot_bins(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the bin values (255,), symexp(-20 ... 20), exactly antisymmetric about the middle one (eq. 10)."""
    half = symexp(torch.linspace(-20.0, 0.0, (BINS - 1) // 2 + 1, dtype=torch.float64, device="cpu"))
    return torch.cat([half, -half[:-1].flip(0)]).to(device, dtype)


def two_hot_mean(logits: Tensor, bins: Tensor) -> Tensor:
    """Return the mean (...) of the bins under softmax(logits), for logits (..., 255) (eq. 10).

    Bins are antisymmetric, so probabilities are subtracted in pairs: uniform logits give exactly 0, as in the
    published code. A plain sum would keep the rounding errors of terms near 5e8.
    """
    middle = (BINS - 1) // 2
    below, _, above = functional.softmax(logits, -1).split([middle, 1, middle], -1)
    mean: Tensor = ((above - below.flip(-1)) * bins[middle + 1 :]).sum(-1)
    return mean


def two_hot_loss(logits: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """Return the cross entropy with the two-hot encoding of the target, in the target's shape (eq. 11).

    Args:
        logits: (..., 255).
        target: (...), or K targets for each row (..., K), which share what depends on the logits alone.
        bins: of `two_hot_bins`.
    """
    several = target.ndim == logits.ndim
    # (..., K)
    targets = target if several else target[..., None]
    above = torch.searchsorted(bins, targets.contiguous(), right=True).clamp(1, BINS - 1)
    low, high = bins[above - 1], bins[above]
    share = ((targets - low) / (high - low)).clamp(0.0, 1.0)
    logits = logits.to(bins.dtype)  # float32 under autocast too
    at_below, at_above = logits.gather(-1, torch.cat([above - 1, above], -1)).chunk(2, -1)
    losses = torch.logsumexp(logits, -1, keepdim=True) - torch.lerp(at_below, at_above, share)
    return losses if several else losses[..., 0]


def unimix_probabilities(logits: Tensor) -> Tensor:
    """Return softmax(logits) mixed with 1 % of the uniform distribution, for logits (..., C)."""
    return (1.0 - UNIMIX) * functional.softmax(logits, -1) + UNIMIX / logits.shape[-1]


def categorical_kl(left: Tensor, right: Tensor) -> Tensor:
    """Return KL(left || right) (...) in nats of categoricals with probabilities (..., S, C), summed over S."""
    return (left * (torch.log(left) - torch.log(right))).sum((-2, -1))


def lambda_return(
    last: Tensor, terminal: Tensor, reward: Tensor, bootstrap: Tensor, *, discount: float, gae_lambda: float
) -> Tensor:
    """Return the lambda returns (N, T-1) of sequences (N, T) (eq. 5).

    Args:
        last: 1 where the sequence is cut after this step.
        terminal: probability that the episode ends at this step, 0 to 1.
        reward: received on arriving at this step.
        bootstrap: value of the state.
        discount: gamma.
        gae_lambda: lambda.
    """
    live = (1.0 - terminal[:, 1:]) * discount
    carried = (1.0 - last[:, 1:]) * gae_lambda
    interim = reward[:, 1:] + (1.0 - carried) * live * bootstrap[:, 1:]
    returns = [bootstrap[:, -1]]
    for t in reversed(range(live.shape[1])):
        returns.append(interim[:, t] + live[:, t] * carried[:, t] * returns[-1])
    return torch.stack(returns[:0:-1], 1)
