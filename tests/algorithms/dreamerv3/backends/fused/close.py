"""Tolerance between a float32 kernel and the eager functions in float64."""

import torch
from torch import Tensor


def close(found: Tensor, expected: Tensor, relative: float = 2e-6) -> None:
    """Compare within a fraction of the largest expected number: small ones are differences of large ones."""
    atol = relative * float(expected.detach().abs().max())
    torch.testing.assert_close(found.double(), expected.detach().double(), rtol=0.0, atol=atol)
