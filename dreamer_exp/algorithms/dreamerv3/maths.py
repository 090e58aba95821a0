"""The scalar functions of DreamerV3: symlog, two-hot, unimix categoricals, lambda returns.

Equation numbers are those of Hafner et al., arXiv 2301.04104v2.
"""

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.config.sizes import BINS

UNIMIX = 0.01


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(|x| + 1) (eq. 9)."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp(|x|) - 1), the inverse of symlog (eq. 9)."""
    return torch.sign(x) * torch.expm1(torch.abs(x))


def two_hot_bins(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """The 255 bin values, symexp(-20 .. 20), exactly antisymmetric about the middle one (eq. 10)."""
    half = symexp(torch.linspace(-20.0, 0.0, (BINS - 1) // 2 + 1, dtype=torch.float64))
    return torch.cat([half, -half[:-1].flip(0)]).to(device, dtype)


def two_hot_mean(logits: Tensor, bins: Tensor) -> Tensor:
    """Expected value (...) under softmax(logits) (..., 255), the mean taken in real space.

    Bins are antisymmetric, so probabilities are subtracted in pairs: uniform logits give exactly 0, as in the
    published code (a plain sum would leave the rounding of numbers near 5e8).
    """
    middle = (BINS - 1) // 2
    below, _, above = functional.softmax(logits, -1).split([middle, 1, middle], -1)
    mean: Tensor = ((above - below.flip(-1)) * bins[middle + 1 :]).sum(-1)
    return mean


def two_hot_loss(logits: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """Cross entropy between logits (..., 255) and the two-hot encoding of target (...), or of K targets (..., K) a
    row, which share what depends on the logits alone (eq. 10); the target's shape."""
    several = target.ndim == logits.ndim
    targets = target if several else target[..., None]
    above = torch.searchsorted(bins, targets.contiguous(), right=True).clamp(1, BINS - 1)
    low, high = bins[above - 1], bins[above]
    share = ((targets - low) / (high - low)).clamp(0.0, 1.0)
    logits = logits.to(bins.dtype)  # never in bfloat16
    at_below, at_above = logits.gather(-1, torch.cat([above - 1, above], -1)).chunk(2, -1)
    losses = torch.logsumexp(logits, -1, keepdim=True) - torch.lerp(at_below, at_above, share)
    return losses if several else losses[..., 0]


def unimix_probabilities(logits: Tensor) -> Tensor:
    """softmax(logits) (..., C) mixed with 1 % of the uniform distribution."""
    return (1.0 - UNIMIX) * functional.softmax(logits, -1) + UNIMIX / logits.shape[-1]


@torch.no_grad()
def draw_classes(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Classes (...) by inverse CDF, of probabilities (..., C) and uniform numbers (...) in [0, 1)."""
    drawn = torch.searchsorted(probabilities.cumsum(-1), uniform[..., None], right=True)[..., 0]
    return drawn.clamp(max=probabilities.shape[-1] - 1)  # the sum of all may round to less than a number drawn


def categorical_kl(left: Tensor, right: Tensor) -> Tensor:
    """KL(left || right) (...) of independent categoricals with probabilities (..., S, C), summed over S."""
    return (left * (torch.log(left) - torch.log(right))).sum((-2, -1))


def lambda_return(
    last: Tensor, terminal: Tensor, reward: Tensor, bootstrap: Tensor, *, discount: float, gae_lambda: float
) -> Tensor:
    """Lambda returns (N, T-1) of sequences (N, T) (eq. 7), where step t's entries come with state t.

    last: 1 where the sequence is cut after this step. terminal: probability that it ends here, 0 to 1.
    reward: received on arriving here. bootstrap: value of the state.
    """
    live = (1.0 - terminal[:, 1:]) * discount
    carried = (1.0 - last[:, 1:]) * gae_lambda
    interim = reward[:, 1:] + (1.0 - carried) * live * bootstrap[:, 1:]
    returns = [bootstrap[:, -1]]
    for t in reversed(range(live.shape[1])):
        returns.append(interim[:, t] + live[:, t] * carried[:, t] * returns[-1])
    return torch.stack(returns[:0:-1], 1)
