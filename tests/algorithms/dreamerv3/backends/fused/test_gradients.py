"""Losses and gradients of an update against autograd on the eager backend in float64, with the same noise."""

from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.gradients import Gradients, flat_storage
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.actor_critic import ActorCritic
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.world_model import WorldModelHeads
from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE, PROGRAMS

B, T, O, H = 16, 3, 7, 2  # noqa: E741  # the glossary's letters
N = B * T
SHALLOW = NetworkSize(
    deter=64, hidden=32, classes=8, units=32, stoch=8, blocks=2,
    encoder_layers=1, decoder_layers=1, prior_layers=1, actor_layers=1, critic_layers=1,
)  # fmt: skip
DEEP = replace(SHALLOW, encoder_layers=2, decoder_layers=2, prior_layers=2, actor_layers=2, critic_layers=3)
PARTS = (
    Part("goal", "vector", (2,), 0, 2),
    Part("rays", "lidar", (2, 9), 2, 20),
    Part("map", "grid", (8, 9), 20, 92, "bernoulli"),
    Part("pose", "vector", (1,), 92, 93),
    Part("picture", "image", (8, 8, 1), 93, 157, "pixels"),
)
Case: TypeAlias = tuple[NetworkSize, ActionKind] | tuple[NetworkSize, ActionKind, tuple[Part, ...]]
BOX, DISCRETE = ActionKind(2, discrete=False), ActionKind(3, discrete=True)
CASES: dict[str, Case] = {
    "box": (SHALLOW, BOX), "discrete": (SHALLOW, DISCRETE), "deep": (DEEP, BOX), "entries": (SHALLOW, BOX, PARTS)
}  # fmt: skip


def make_case(size: NetworkSize, kind: ActionKind, parts: tuple[Part, ...] = ()) -> tuple[Agent, Batch, Noise]:
    torch.manual_seed(0)
    width = parts[-1].stop if parts else O
    agent = Agent(size, width, kind, parts=parts)
    for parameter in agent.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for head in (agent.reward, agent.critic, agent.slow_critic):
        # prefer moderate values, as trained heads do: a mean of bins up to e^20 loses its digits to cancellation
        bias = next(bias for bias in head.parameters() if bias.shape == agent.bins.shape)
        bias.data -= torch.linspace(-20.0, 20.0, len(bias)).abs()

    def random_flags(chance: float) -> Tensor:
        return (torch.rand(B, T) < chance).float().to(DEVICE)

    latent = torch.nn.functional.one_hot(torch.randint(size.classes, (B, size.stoch)), size.classes).flatten(1)
    actions = torch.nn.functional.one_hot(torch.randint(kind.size, (B, T)), kind.size).float()
    batch = Batch(
        observation=(3 * torch.randn(B, T, width)).to(DEVICE),
        action=(actions if kind.discrete else 2 * torch.randn(B, T, kind.size)).to(DEVICE),
        previous_action=actions[:, 0].to(DEVICE),
        reward=torch.randn(B, T).to(DEVICE),
        is_first=random_flags(0.2),
        is_last=random_flags(0.2),
        is_terminal=random_flags(0.1),
        carry=State(torch.randn(B, size.deter).tanh().to(DEVICE), latent.float().to(DEVICE)),
    )
    noise = Noise(torch.rand(B, T, size.stoch), torch.rand(H, N, size.stoch), torch.rand(H + 1, N, kind.noise))
    return agent.to(DEVICE), batch, Noise(noise.posterior.to(DEVICE), noise.prior.to(DEVICE), noise.action.to(DEVICE))


def time_major(noise: Noise) -> Noise:
    """Reorder the eager backend's noise from rows b * T + t to rows t * B + b."""

    def reordered(x: Tensor) -> Tensor:
        return x.unflatten(1, (B, T)).transpose(1, 2).flatten(1, 2).contiguous()

    return Noise(
        noise.posterior.transpose(0, 1).contiguous(), reordered(noise.prior), reordered(noise.action)[:H].contiguous()
    )


def double(value: Any) -> Any:
    """Return a tensor, or all tensors of a dataclass or tuple, in float64."""
    if isinstance(value, Tensor):
        return value.double()
    members = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else value
    return type(value)(*map(double, members))


def return_range(dtype: torch.dtype) -> ReturnRange:
    return ReturnRange(torch.tensor(-1.0, dtype=dtype, device=DEVICE), torch.tensor(2.0, dtype=dtype, device=DEVICE))


def assert_equals_eager(case: Case, config: LossConfig) -> None:
    """Compare figures, states and gradients with autograd's on the eager backend in float64."""
    agent, batch, noise = make_case(*case)
    exact = deepcopy(agent).double()
    total, figures, states = total_loss(exact, double(batch), double(noise), return_range(torch.float64), config)
    total.backward()

    with torch.no_grad():
        flat = flat_storage(agent, Precision.of("float32"))
        flat.gradients.fill_(float("nan"))  # each has to be written
        compute = Gradients(
            agent, flat, return_range(torch.float32), config, Precision.of("float32"), (B, T), PROGRAMS,
            persistent=False,
        )  # fmt: skip
        found, new = compute(batch, time_major(noise))

    torch.testing.assert_close(new.deter, states.deter.float(), rtol=1e-5, atol=1e-5)
    assert torch.equal(new.stoch, states.stoch.float())
    assert found.pop("total").item() == pytest.approx(total.item(), rel=5e-6)
    assert found.keys() == figures.keys()
    for name, figure in figures.items():
        assert found[name].item() == pytest.approx(figure.item(), rel=5e-6, abs=1e-6), name
    exact_of = dict(exact.named_parameters())
    for name, parameter in agent.named_parameters():
        if parameter.requires_grad:
            gradient = exact_of[name].grad
            assert gradient is not None
            error = (flat.view(parameter).grad - gradient).norm() / gradient.norm().clamp(min=1e-6)
            assert error < 1e-5, name  # float32 autograd's own is up to 4e-6


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name, marks=() if name == "box" else pytest.mark.slow) for name, case in CASES.items()],
)
def test_figures_states_and_gradients_equal_the_eager_backend(case: Case) -> None:
    assert_equals_eager(case, LossConfig(horizon_H=H))


@pytest.mark.slow
def test_decoder_weights_weight_the_error_of_each_number_of_an_entry() -> None:
    weights = torch.linspace(0.0, 20.0, PARTS[-1].stop, device=DEVICE)
    scales = LOSS_SCALES | {"decoder": 1.7}
    config = LossConfig(horizon_H=H, loss_scales=scales, decoder_weights=weights)
    assert_equals_eager((SHALLOW, BOX, PARTS), config)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [BOX, DISCRETE], ids=["box", "discrete"])
def test_loss_scales_and_decoder_weights_weight_losses_and_gradients(kind: ActionKind) -> None:
    scales = dict(zip(LOSS_SCALES, (0.7, 2.0, 3.0, 0.4, 0.3, 1.5, 0.6, 0.9), strict=True))
    assert_equals_eager((SHALLOW, kind), LossConfig(horizon_H=H, loss_scales=scales, decoder_weights=weights()))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSS_SCALES)
def test_a_loss_scale_weights_its_loss_and_gradient(name: str) -> None:
    assert_equals_eager((SHALLOW, BOX), LossConfig(horizon_H=H, loss_scales=LOSS_SCALES | {name: 2.5}))


@pytest.mark.slow
def test_decoder_weights_weight_the_squared_error_of_each_observation_element() -> None:
    assert_equals_eager((SHALLOW, BOX), LossConfig(horizon_H=H, decoder_weights=weights()))


def weights() -> Tensor:
    """Return weights of the observation's elements (O,), one of them 0."""
    return torch.tensor([1.0, 1.0, 1.0, 20.0, 20.0, 0.0, 0.5], device=DEVICE)


def test_the_losses_have_the_names_of_the_loss_scales() -> None:
    assert (*WorldModelHeads.LOSSES, *ActorCritic.LOSSES) == tuple(LOSS_SCALES)
