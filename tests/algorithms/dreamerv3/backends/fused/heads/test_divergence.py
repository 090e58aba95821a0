"""The divergence and its two gradients against the dynamics and representation losses."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.divergence import divergence
from dreamer_exp.algorithms.dreamerv3.maths import categorical_kl, unimix_probabilities
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

N, FREE_NATS = 5, 1.0


@pytest.mark.parametrize(("stoch", "classes"), [(3, 4), (8, 24), (2, 32)])
def test_losses_and_gradients_equal_the_eager_ones(stoch: int, classes: int) -> None:
    torch.manual_seed(1)
    latent = stoch * classes
    logits = 2.0 * torch.randn(N, stoch, classes)
    wide = torch.randn(N, latent + 8).to(DEVICE)
    raw, bias = wide[:, 4 : latent + 4], torch.randn(latent).to(DEVICE)
    raw[0] = logits[0].flatten().to(DEVICE) - bias  # a row below the free nats
    p = unimix_probabilities(logits).to(DEVICE)
    d_prior, d_posterior = torch.full((2, N, latent), torch.nan, device=DEVICE)

    found = divergence(p, raw, bias, FREE_NATS, 0.7, 0.1, d_prior, d_posterior)

    exact_p, exact_raw = p.double().requires_grad_(), raw.double().requires_grad_()
    q = unimix_probabilities((exact_raw + bias).view(N, stoch, classes))
    dynamics = categorical_kl(exact_p.detach(), q).clamp(min=FREE_NATS)
    representation = categorical_kl(exact_p, q.detach()).clamp(min=FREE_NATS)
    close(found, dynamics)
    assert found[0] == FREE_NATS
    close(d_prior, torch.autograd.grad(0.7 * dynamics.mean(), exact_raw)[0])
    close(d_posterior, torch.autograd.grad(0.1 * representation.mean(), exact_p)[0].flatten(1))


def test_the_gradient_of_the_prior_can_be_written_to_columns_of_another_dtype() -> None:
    torch.manual_seed(1)
    p = unimix_probabilities(torch.randn(N, 3, 4)).to(DEVICE)
    raw, bias = 3.0 * torch.randn(N, 12).to(DEVICE), torch.zeros(12, device=DEVICE)
    wide = torch.zeros(N, 32, dtype=torch.bfloat16, device=DEVICE)
    d_prior, d_posterior = torch.empty(2, N, 12, device=DEVICE)
    divergence(p, raw, bias, 0.0, 1.0, 0.1, d_prior, d_posterior)
    divergence(p, raw, bias, 0.0, 1.0, 0.1, wide[:, 8:20], d_posterior)
    close(wide[:, 8:20], d_prior, 0.008)
    assert not wide[:, :8].any()
    assert not wide[:, 20:].any()
