"""The learner's losses and gradients equal the float64 reference's, with the same noise, in both of its ways."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.config.sizes import NetworkSize
from tests.algorithms.dreamerv3.reference import Reference

B, T, H, O = 3, 5, 4, 7  # noqa: E741  # the glossary's letters
SMALL = NetworkSize(deter=16, hidden=8, classes=4, units=12, stoch=3, blocks=4, posterior_layers=2)
CONFIG = LossConfig(horizon_H=H, gamma=0.97)
KINDS = {"box": ActionKind(2, discrete=False), "discrete": ActionKind(3, discrete=True)}
SCALES = {"dynamics": 1.0, "representation": 0.1, "replay_critic": 0.3}


@pytest.fixture(params=["hand-written", "torch's"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gathers and norms as on a CPU, and dense products as on a GPU."""
    monkeypatch.setattr(hand_written, "is_faster", lambda _: request.param == "hand-written")


def make_agent(kind: ActionKind) -> Agent:
    """A small agent whose zero-initialised heads have been moved, so that every gradient is in play."""
    torch.manual_seed(1)
    agent = Agent(SMALL, O, kind)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        # trained two-hot heads believe in moderate values; their outer bins, near 5e8, would drown float32
        for head in (agent.reward, agent.critic, agent.slow_critic):
            head[-1].bias -= torch.linspace(-20, 20, 255).abs()
    return agent


def make_batch(kind: ActionKind) -> tuple[Batch, Noise]:
    """Random numbers with an episode's end, a timeout and a beginning in the middle of sequences."""
    generator = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    def actions(*shape: int) -> Tensor:
        if kind.discrete:
            chosen = torch.randint(kind.size, shape, generator=generator)
            return torch.nn.functional.one_hot(chosen, kind.size).float()
        return 1.5 * normal(*shape, kind.size)

    is_first, is_last, is_terminal = torch.zeros(3, B, T)
    is_last[0, 2] = is_terminal[0, 2] = is_first[0, 3] = 1.0
    is_last[1, 1] = is_first[1, 2] = 1.0
    latent = torch.nn.functional.one_hot(
        torch.randint(SMALL.classes, (B, SMALL.stoch), generator=generator), SMALL.classes
    )
    batch = Batch(
        observation=5 * normal(B, T, O), action=actions(B, T), previous_action=actions(B), reward=3 * normal(B, T),
        is_first=is_first, is_last=is_last, is_terminal=is_terminal,
        carry=State(torch.tanh(normal(B, SMALL.deter)), latent.flatten(1).float()),
    )  # fmt: skip
    action_noise = uniform if kind.discrete else normal
    noise = Noise(uniform(B, T, SMALL.stoch), uniform(H, B * T, SMALL.stoch), action_noise(H + 1, B * T, kind.noise))
    return batch, noise


def reference_losses(
    agent: Agent, kind: ActionKind, batch: Batch, noise: Noise
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The reference's losses and its weights, in float64, with gradients."""
    weights = {name: value.detach().double().requires_grad_() for name, value in agent.state_dict().items()}
    reference = Reference(
        weights, SMALL.deter, SMALL.stoch, SMALL.classes, SMALL.blocks, kind.discrete,
        CONFIG.gamma, CONFIG.gae_lambda, CONFIG.entropy_scale, H,
    )  # fmt: skip
    tensors = {name: value.double() for name, value in vars(batch).items() if name != "carry"}
    tensors |= {"deter": batch.carry.deter.double(), "stoch": batch.carry.stoch.double()}
    return reference.losses(tensors, {k: v.double() for k, v in vars(noise).items()}, 0.0, 0.0), weights


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_loss_equals_the_reference(kind: ActionKind) -> None:
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    _, losses, _ = total_loss(agent, batch, noise, ReturnRange(), CONFIG)
    expected, _ = reference_losses(agent, kind, batch, noise)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-5), name


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_gradient_of_every_parameter_equals_the_reference(kind: ActionKind) -> None:
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    total_loss(agent, batch, noise, ReturnRange(), CONFIG)[0].backward()
    expected, weights = reference_losses(agent, kind, batch, noise)
    torch.stack([SCALES.get(name, 1.0) * loss for name, loss in expected.items()]).sum().backward()
    norms = torch.stack([weight.grad.norm() for weight in weights.values() if weight.grad is not None])
    least = 1e-3 * norms.norm()  # a gradient far below the whole one's norm is a sum of what almost cancels
    for name, parameter in agent.named_parameters():
        if name.startswith("slow_critic"):
            assert parameter.grad is None
            continue
        assert parameter.grad is not None, name
        difference = (parameter.grad - weights[name].grad).norm() / weights[name].grad.norm().clamp(min=least)
        assert difference.item() < 1e-5, name


def gradients(config: LossConfig) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    agent, (batch, noise) = make_agent(KINDS["box"]), make_batch(KINDS["box"])
    total, figures, _ = total_loss(agent, batch, noise, ReturnRange(), config)
    total.backward()
    return {name: parameter.grad for name, parameter in agent.named_parameters()}, figures


@pytest.mark.parametrize(("flag", "part"), [("train_actor", "actor"), ("train_critic", "critic")])
def test_a_part_that_is_not_trained_is_reported_and_moves_nothing(flag: str, part: str) -> None:
    trained, figures = gradients(CONFIG)
    left, same_figures = gradients(replace(CONFIG, **{flag: False}))
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(
        {name: value.item() for name, value in same_figures.items()}, rel=1e-5
    )
    for name, gradient in left.items():
        assert (gradient is None) == (trained[name] is None or name.startswith(f"{part}.")), name


def test_without_the_critic_the_replayed_returns_do_not_reach_the_world_model() -> None:
    with_critic, _ = gradients(replace(CONFIG, train_critic=False))
    no_replay, _ = gradients(replace(CONFIG, replay_value_scale=0.0))
    for name, gradient in with_critic.items():
        if gradient is not None:
            assert torch.allclose(gradient, no_replay[name], atol=1e-7), name


def test_figures_carry_every_loss_and_the_return_range_as_tensors() -> None:
    _, figures = gradients(CONFIG)
    assert {
        "decoder", "reward", "continue", "dynamics", "representation", "actor", "critic", "replay_critic", "entropy",
        "return_scale", "return_low", "return_high",
    } <= set(figures)  # fmt: skip
    assert all(figure.shape == () and not figure.requires_grad for figure in figures.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_bfloat16_products_change_the_losses_little(kind: ActionKind) -> None:
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    _, exact, _ = total_loss(agent, batch, noise, ReturnRange(), CONFIG)
    with torch.autocast("cpu", torch.bfloat16):
        total, rounded, states = total_loss(agent, batch, noise, ReturnRange(), CONFIG)
    total.backward()
    assert states.deter.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in agent.parameters() if p.requires_grad)
    assert rounded["decoder"].item() == pytest.approx(exact["decoder"].item(), rel=0.05)
