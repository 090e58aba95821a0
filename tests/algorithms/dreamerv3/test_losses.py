"""Losses and gradients of the eager backend against the readable float64 model, with the same noise."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.reference import ReferenceModel
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

B, T, H, O = 3, 5, 4, 7  # noqa: E741  # the glossary's letters
SMALL = NetworkSize(deter=16, hidden=8, classes=4, units=12, stoch=3, blocks=4, posterior_layers=2)
CONFIG = LossConfig(horizon_H=H, gamma=0.97)
KINDS = {"box": ActionKind(2, discrete=False), "discrete": ActionKind(3, discrete=True)}
WORLD_MODEL = ("decoder", "reward", "continue", "dynamics", "representation")
DECODER_WEIGHTS = (1.0, 1.0, 1.0, 20.0, 20.0, 0.0, 0.5)

over_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(params=["hand-written", "torch's"])
def _operations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the gathers and norms that a CPU takes, then the dense products that a GPU takes."""
    monkeypatch.setattr(hand_written, "is_faster", lambda _: request.param == "hand-written")


def make_agent(kind: ActionKind) -> Agent:
    """Return a small agent whose zero-initialised heads have been moved, so that every gradient is in play."""
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
    """Return random numbers with an episode's end, a timeout and a beginning in the middle of sequences."""
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


class Expected(NamedTuple):
    """The reference's losses by name, and each one's gradients by parameter name."""

    losses: dict[str, float]
    gradients: dict[str, dict[str, Tensor]]

    def gradient(self, scales: Mapping[str, float]) -> dict[str, Tensor]:
        """Return the gradient of the weighted sum of the losses, by parameter name."""
        total: dict[str, Tensor] = {}
        for loss, scale in scales.items():
            for name, gradient in self.gradients[loss].items():
                total[name] = total.get(name, torch.zeros_like(gradient)) + scale * gradient
        return total


@cache
def expected(kind: ActionKind, decoder_weights: tuple[float, ...] | None = None) -> Expected:
    """Return what the reference makes of the agent and the batch, in float64."""
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    weights = {name: value.detach().double().requires_grad_() for name, value in agent.state_dict().items()}
    reference = ReferenceModel(
        weights, SMALL.deter, SMALL.stoch, SMALL.classes, SMALL.blocks, kind.discrete,
        CONFIG.gamma, CONFIG.gae_lambda, CONFIG.entropy_scale, H,
        None if decoder_weights is None else torch.tensor(decoder_weights, dtype=torch.float64),
    )  # fmt: skip
    tensors = {name: value.double() for name, value in vars(batch).items() if name != "carry"}
    tensors |= {"deter": batch.carry.deter.double(), "stoch": batch.carry.stoch.double()}
    losses = reference.losses(tensors, {k: v.double() for k, v in vars(noise).items()}, 0.0, 0.0)
    gradients = {}
    for loss, value in losses.items():
        found = torch.autograd.grad(value, list(weights.values()), retain_graph=True, allow_unused=True)
        gradients[loss] = {name: g for name, g in zip(weights, found, strict=True) if g is not None}
    return Expected({name: value.item() for name, value in losses.items()}, gradients)


def compute(config: LossConfig, kind: ActionKind) -> tuple[Agent, Tensor, dict[str, Tensor]]:
    """Return an agent with the gradients of the eager backend, the weighted sum, and the figures."""
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    total, figures, _ = total_loss(agent, batch, noise, ReturnRange(), config)
    total.backward()
    return agent, total.detach(), figures


def assert_gradients_equal(agent: Agent, wanted: Mapping[str, Tensor]) -> None:
    norms = torch.stack([gradient.norm() for gradient in wanted.values()])
    least = 1e-3 * norms.norm()  # a gradient far below the total norm is a sum of terms that nearly cancel
    for name, parameter in agent.named_parameters():
        if name.startswith("slow_critic"):
            assert parameter.grad is None
            continue
        assert parameter.grad is not None, name
        difference = (parameter.grad - wanted[name]).norm() / wanted[name].norm().clamp(min=least)
        assert difference.item() < 1e-5, name


@pytest.mark.usefixtures("_operations")
@over_kinds
def test_every_loss_equals_the_reference(kind: ActionKind) -> None:
    _, _, figures = compute(CONFIG, kind)
    for name, value in expected(kind).losses.items():
        assert figures[name].item() == pytest.approx(value, rel=1e-5), name


@pytest.mark.usefixtures("_operations")
@over_kinds
def test_every_gradient_equals_the_reference(kind: ActionKind) -> None:
    agent, _, _ = compute(CONFIG, kind)
    assert_gradients_equal(agent, expected(kind).gradient(LOSS_SCALES))


@pytest.mark.parametrize("name", LOSS_SCALES)
def test_a_loss_scale_weights_its_loss_and_gradient(name: str) -> None:
    scales = LOSS_SCALES | {name: 2.5}
    agent, total, figures = compute(replace(CONFIG, loss_scales=scales), KINDS["box"])
    wanted = expected(KINDS["box"])
    assert {key: figures[key].item() for key in LOSS_SCALES} == pytest.approx(wanted.losses, rel=1e-5)
    weighted = {key: scales[key] * loss for key, loss in wanted.losses.items()}
    assert total.item() == pytest.approx(sum(weighted.values()), rel=1e-5)
    assert figures["world_model"].item() == pytest.approx(sum(weighted[key] for key in WORLD_MODEL), rel=1e-5)
    assert_gradients_equal(agent, wanted.gradient(scales))


def test_decoder_weights_weight_the_squared_error_of_each_observation_element() -> None:
    kind = KINDS["box"]
    agent, total, figures = compute(replace(CONFIG, decoder_weights=torch.tensor(DECODER_WEIGHTS)), kind)
    weighted, plain = expected(kind, DECODER_WEIGHTS), expected(kind)
    assert figures["decoder"].item() == pytest.approx(plain.losses["decoder"], rel=1e-5)
    expected_total = sum(LOSS_SCALES[name] * loss for name, loss in weighted.losses.items())
    assert total.item() == pytest.approx(expected_total, rel=1e-5)
    assert_gradients_equal(agent, weighted.gradient(LOSS_SCALES))


def test_the_losses_have_the_names_of_the_loss_scales() -> None:
    _, _, figures = compute(CONFIG, KINDS["box"])
    assert list(expected(KINDS["box"]).losses) == list(LOSS_SCALES)
    assert [name for name in figures if name in LOSS_SCALES] == list(LOSS_SCALES)


def gradients(config: LossConfig) -> tuple[dict[str, Tensor | None], dict[str, Tensor]]:
    agent, _, figures = compute(config, KINDS["box"])
    return {name: parameter.grad for name, parameter in agent.named_parameters()}, figures


@pytest.mark.parametrize(("flag", "module"), [("train_actor", "actor"), ("train_critic", "critic")])
def test_an_untrained_module_reports_its_loss_and_has_no_gradient(flag: str, module: str) -> None:
    trained, figures = gradients(CONFIG)
    untrained, same_figures = gradients(replace(CONFIG, **{flag: False}))
    assert {name: value.item() for name, value in figures.items()} == pytest.approx(
        {name: value.item() for name, value in same_figures.items()}, rel=1e-5
    )
    for name, gradient in untrained.items():
        assert (gradient is None) == (trained[name] is None or name.startswith(f"{module}.")), name


def test_without_a_trained_critic_replayed_returns_do_not_reach_the_world_model() -> None:
    untrained, _ = gradients(replace(CONFIG, train_critic=False))
    no_replay, _ = gradients(replace(CONFIG, loss_scales=LOSS_SCALES | {"critic_replay": 0.0}))
    for name, gradient in untrained.items():
        if gradient is not None:
            other = no_replay[name]
            assert other is not None
            assert torch.allclose(gradient, other, atol=1e-7), name


def test_figures_contain_every_loss_and_the_return_range_as_scalars() -> None:
    _, figures = gradients(CONFIG)
    assert {*LOSS_SCALES, "world_model", "entropy", "return_scale", "return_low", "return_high"} <= set(figures)
    assert all(figure.shape == () and not figure.requires_grad for figure in figures.values())


@over_kinds
def test_bfloat16_products_change_the_losses_little(kind: ActionKind) -> None:
    agent, (batch, noise) = make_agent(kind), make_batch(kind)
    _, exact, _ = total_loss(agent, batch, noise, ReturnRange(), CONFIG)
    with torch.autocast("cpu", torch.bfloat16):
        total, rounded, states = total_loss(agent, batch, noise, ReturnRange(), CONFIG)
    total.backward()
    assert states.deter.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in agent.parameters() if p.requires_grad)
    assert rounded["decoder"].item() == pytest.approx(exact["decoder"].item(), rel=0.05)
