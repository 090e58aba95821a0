"""A whole update's losses and gradients against the eager rung's autograd, from the same weights and noise."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamer_exp.config.sizes import NetworkSize
from dreamer_exp.dreamer.fast.actor import ActionKind
from dreamer_exp.dreamer.fast.agent import Agent
from dreamer_exp.dreamer.fast.fused.gradients import Gradients, stored
from dreamer_exp.dreamer.fast.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.dreamer.fast.products import Precision
from dreamer_exp.dreamer.fast.rssm import State
from tests.dreamer.fast.fused.at import DEVICE

B, T, O, H = 16, 3, 7, 2  # noqa: E741  # the glossary's letters
N = B * T
SHALLOW = NetworkSize(
    deter=64, hidden=32, classes=8, units=32, stoch=8, blocks=2,
    encoder_layers=1, decoder_layers=1, prior_layers=1, actor_layers=1, critic_layers=1,
)  # fmt: skip
DEEP = replace(SHALLOW, encoder_layers=2, decoder_layers=2, prior_layers=2, actor_layers=2, critic_layers=3)
BOX, DISCRETE = ActionKind(2, discrete=False), ActionKind(3, discrete=True)
CASES = {"box": (SHALLOW, BOX), "discrete": (SHALLOW, DISCRETE), "deep": (DEEP, BOX)}


def made(size: NetworkSize, kind: ActionKind) -> tuple[Agent, Batch, Noise]:
    torch.manual_seed(0)
    agent = Agent(size, O, kind)
    for name, parameter in agent.named_parameters():
        # logits of 255 bins up to e^20 that are far from uniform mean huge values, whose rounding would be compared
        far = 0.1 if name.startswith(("encoder", "rssm", "decoder", "cont", "actor")) else 0.01
        parameter.data += far * torch.randn_like(parameter)

    def sometimes(chance: float) -> Tensor:
        return (torch.rand(B, T) < chance).float().to(DEVICE)

    latent = torch.nn.functional.one_hot(torch.randint(size.classes, (B, size.stoch)), size.classes).flatten(1)
    actions = torch.nn.functional.one_hot(torch.randint(kind.size, (B, T)), kind.size).float()
    batch = Batch(
        observation=(3 * torch.randn(B, T, O)).to(DEVICE),
        action=(actions if kind.discrete else 2 * torch.randn(B, T, kind.size)).to(DEVICE),
        previous_action=actions[:, 0].to(DEVICE),
        reward=torch.randn(B, T).to(DEVICE),
        is_first=sometimes(0.2),
        is_last=sometimes(0.2),
        is_terminal=sometimes(0.1),
        carry=State(torch.randn(B, size.deter).tanh().to(DEVICE), latent.float().to(DEVICE)),
    )
    noise = Noise(torch.rand(B, T, size.stoch), torch.rand(H, N, size.stoch), torch.rand(H + 1, N, kind.noise))
    return agent.to(DEVICE), batch, Noise(noise.posterior.to(DEVICE), noise.prior.to(DEVICE), noise.action.to(DEVICE))


def time_major(noise: Noise) -> Noise:
    """The eager rung's noise, whose rows are b * T + t, for rows t * B + b."""

    def turned(x: Tensor) -> Tensor:
        return x.unflatten(1, (B, T)).transpose(1, 2).flatten(1, 2).contiguous()

    return Noise(
        noise.posterior.transpose(0, 1).contiguous(), turned(noise.prior), turned(noise.action)[:H].contiguous()
    )


@pytest.mark.parametrize(("size", "kind"), CASES.values(), ids=CASES)
def test_figures_states_and_gradients_are_those_of_the_eager_rung(size: NetworkSize, kind: ActionKind) -> None:
    agent, batch, noise = made(size, kind)
    config = LossConfig(horizon_H=H)

    def seen() -> ReturnRange:
        return ReturnRange(torch.full((), -1.0, device=DEVICE), torch.full((), 2.0, device=DEVICE))

    total, figures, states = total_loss(agent, batch, noise, seen(), config)
    named = {name: parameter for name, parameter in agent.named_parameters() if parameter.requires_grad}
    expected = dict(zip(named, torch.autograd.grad(total, list(named.values())), strict=True))

    with torch.no_grad():
        flat = stored(agent, Precision.of("float32"))
        flat.gradients.fill_(float("nan"))  # every one has to be written
        compute = Gradients(agent, flat, seen(), config, Precision.of("float32"), (B, T), persistent=False)
        found, new = compute(batch, time_major(noise))

    torch.testing.assert_close(new.deter, states.deter, rtol=1e-5, atol=1e-5)
    assert torch.equal(new.stoch, states.stoch)
    assert found.pop("total").item() == pytest.approx(total.item(), rel=1e-5)
    assert found.keys() == figures.keys()
    for name, figure in figures.items():
        assert found[name].item() == pytest.approx(figure.item(), rel=3e-5, abs=1e-5), name
    for name, gradient in expected.items():
        error = (flat.leaf(named[name]).grad - gradient).norm() / gradient.norm().clamp(min=1e-6)
        assert error < (3e-4 if name.startswith("critic") else 2e-5), name
