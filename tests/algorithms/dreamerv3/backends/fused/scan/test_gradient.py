"""The backward scan, one launch per stage, against autograd through Rssm.observe."""

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.gradient import PosteriorScanGradient
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import PosteriorScan
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.scan.test_posterior_scan import SIZES, A, B, O, T

OTHERS = ("prior_net", "from_action")  # modules of the RSSM whose gradients the scan doesn't write


def gradients(size: NetworkSize, programs: int = 2) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the scan's and autograd's gradients, by parameter and of "tokens"."""
    torch.manual_seed(0)
    rssm = Agent(size, O, ActionKind(A, discrete=False)).to(DEVICE).rssm
    for parameter in rssm.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    tokens = torch.randn(B, T, size.units, device=DEVICE, requires_grad=True)
    actions = 2 * torch.randn(B, T, A, device=DEVICE)
    is_first = (torch.rand(B, T, device=DEVICE) < 0.3).float()
    stoch = torch.nn.functional.one_hot(torch.randint(size.classes, (B, size.stoch)), size.classes).flatten(1)
    carry = State(torch.randn(B, size.deter, device=DEVICE).tanh(), stoch.float().to(DEVICE))
    uniform = torch.rand(B, T, size.stoch, device=DEVICE)
    keep = (1.0 - is_first).t().contiguous()
    to_feature = torch.randn(T, B, size.feature, device=DEVICE)
    to_probabilities = torch.randn(T, B, size.latent, device=DEVICE)

    states, probabilities = rssm.observe(tokens, actions, is_first, carry, uniform)
    total = (states.feature.transpose(0, 1) * to_feature).sum()
    total = total + (probabilities.flatten(-2).transpose(0, 1) * to_probabilities).sum()
    parameters = {name: parameter for name, parameter in rssm.named_parameters() if not name.startswith(OTHERS)}
    found = torch.autograd.grad(total, [*parameters.values(), tokens])
    expected = dict(zip([*parameters, "tokens"], [gradient.clone() for gradient in found], strict=True))

    with torch.no_grad():
        units = rssm.action_units(actions.transpose(0, 1) * keep[..., None]).flatten(0, 1)
        flat = Flat(list(rssm.parameters()), torch.float32)
        forward = PosteriorScan(rssm, flat.view, Precision.of("float32"), B, T, programs, persistent=False)
        by_step = tokens.detach().transpose(0, 1).flatten(0, 1)
        forward.begin(carry, keep)
        forward.set_inputs(by_step, units)
        forward.run(uniform.transpose(0, 1).contiguous())
        backward = PosteriorScanGradient(forward)
        backward.precompute(by_step, units)
        backward.run(to_feature, to_probabilities)
        backward.backward_units()
        backward.backward_core()
        d_tokens = backward.backward_posterior()
    found_by_scan = {name: flat.view(parameter).grad for name, parameter in parameters.items()}
    return found_by_scan | {"tokens": d_tokens.unflatten(0, (T, B)).transpose(0, 1)}, expected


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_gradients_of_parameters_and_tokens_equal_autograds(size: NetworkSize) -> None:
    assert_equal(*gradients(size))


@pytest.mark.slow
def test_programs_without_a_tile_change_no_gradient() -> None:
    assert_equal(*gradients(SIZES["powers of two"], programs=8))


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm()
        assert error < 2e-6, name
