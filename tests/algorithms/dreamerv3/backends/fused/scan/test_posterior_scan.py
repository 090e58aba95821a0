"""The posterior scan, one launch per stage, against Rssm.observe with the same noise."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import PosteriorScan, inner_tile
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE

B, T, O, A = 16, 3, 6, 2  # noqa: E741  # the glossary's letters
SIZE = NetworkSize(
    deter=64, hidden=32, classes=8, units=32, stoch=8, blocks=2,
    encoder_layers=1, decoder_layers=1, prior_layers=1, actor_layers=1, critic_layers=1,
)  # fmt: skip
SIZES = {
    "powers of two": SIZE,
    "odd classes": replace(SIZE, classes=6, stoch=8),
    "odd widths": replace(SIZE, deter=96, hidden=48, units=48),
    "one categorical a tile": replace(SIZE, classes=24, stoch=4),
}


def scanned(size: NetworkSize, rows: int = B, programs: int = 2) -> tuple[PosteriorScan, State, Tensor]:
    """Return a scan that has run, and states and probabilities of Rssm.observe for the same inputs."""
    torch.manual_seed(0)
    agent = Agent(size, O, ActionKind(A, discrete=False)).to(DEVICE)
    for parameter in agent.rssm.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # scales and biases other than one and zero
    rssm = agent.rssm
    tokens = torch.randn(rows, T, size.units, device=DEVICE)
    actions = 2 * torch.randn(rows, T, A, device=DEVICE)
    is_first = (torch.rand(rows, T, device=DEVICE) < 0.3).float()
    stoch = torch.nn.functional.one_hot(torch.randint(size.classes, (rows, size.stoch)), size.classes).flatten(1)
    carry = State(torch.randn(rows, size.deter, device=DEVICE).tanh(), stoch.float().to(DEVICE))
    uniform = torch.rand(rows, T, size.stoch, device=DEVICE)
    with torch.no_grad():
        states, probabilities = rssm.observe(tokens, actions, is_first, carry, uniform)
        keep = (1.0 - is_first).t().contiguous()
        units = rssm.action_units(actions.transpose(0, 1) * keep[..., None]).flatten(0, 1)
        flat = Flat(list(agent.rssm.parameters()), torch.float32)
        found = PosteriorScan(rssm, flat.view, Precision.of("float32"), rows, T, programs, persistent=False)
        found.begin(carry, keep)
        found.set_inputs(tokens.transpose(0, 1).flatten(0, 1), units)
        found.run(uniform.transpose(0, 1).contiguous())
    return found, states, probabilities.flatten(-2)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_states_and_posterior_equal_rssm_observe(size: NetworkSize) -> None:
    found, states, probabilities = scanned(size)
    torch.testing.assert_close(found.feature[1:].transpose(0, 1), states.feature, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.deter[1:].transpose(0, 1), states.deter, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.probabilities.transpose(0, 1), probabilities, rtol=1e-4, atol=1e-6)


def test_classes_are_the_indices_of_the_latents_ones() -> None:
    found, states, _ = scanned(SIZE)
    latent = states.stoch.unflatten(-1, (SIZE.stoch, SIZE.classes)).argmax(-1)
    assert torch.equal(found.classes.transpose(0, 1).long(), latent)


def test_groups_of_sixteen_rows_are_independent() -> None:
    found, states, _ = scanned(SIZE, rows=32)
    torch.testing.assert_close(found.feature[1:].transpose(0, 1), states.feature, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_programs_without_a_tile_change_nothing() -> None:
    found, states, _ = scanned(SIZE, programs=8)
    torch.testing.assert_close(found.feature[1:].transpose(0, 1), states.feature, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("width", "taken"), [(16, 64), (64, 64), (65, 128), (512, 512), (3072, 512)])
def test_a_program_takes_at_least_one_tile_per_warp_of_the_inner_dimension(width: int, taken: int) -> None:
    assert inner_tile(width, 512) == taken
