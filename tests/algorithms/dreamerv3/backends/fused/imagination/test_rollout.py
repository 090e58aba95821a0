"""The imagined rollout against the eager backend, with the same weights and noise."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.rollout import ImaginedRollout
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ParameterView
from dreamer_exp.algorithms.dreamerv3.losses import ImaginedStates, LossConfig, Noise, imagine
from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE

SHALLOW = NetworkSize(
    deter=64, hidden=32, classes=8, units=48, stoch=4, blocks=4, prior_layers=1, actor_layers=1
)  # fmt: skip
DEEP = replace(SHALLOW, prior_layers=2, actor_layers=3)
UNEVEN = NetworkSize(  # no powers of two, and each more than a tile
    deter=144, hidden=40, classes=12, units=36, stoch=6, blocks=2, prior_layers=1, actor_layers=1
)
WIDE = replace(SHALLOW, deter=192, blocks=2)  # blocks of more units than one program computes
BOX, DISCRETE = ActionKind(3, discrete=False), ActionKind(5, discrete=True)


def make_agent(size: NetworkSize, kind: ActionKind) -> Agent:
    """Return a small agent with random biases, scales and zero-initialised layers, so that each of them matters."""
    torch.manual_seed(1)
    agent = Agent(size, 6, kind)
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return agent.to(DEVICE)


def view_of(parameter: nn.Parameter) -> ParameterView:
    return ParameterView(parameter.data, parameter.data, torch.empty(0), parameter.data)


@dataclass
class Case:
    """One rollout by both backends."""

    agent: Agent
    rollout: ImaginedRollout
    noise: Noise
    eager: ImaginedStates

    def eager_features(self) -> Tensor:
        assert isinstance(self.eager.features, Tensor)
        return self.eager.features.view(self.rollout.features.shape)


@pytest.fixture(autouse=True)
def _dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the eager backend's features one tensor, on a CPU too."""
    monkeypatch.setattr(hand_written, "is_faster", lambda _: False)


def imagined(size: NetworkSize, kind: ActionKind, rows: int = 16, horizon: int = 2) -> Case:
    agent = make_agent(size, kind)
    classes = torch.randint(size.classes, (rows, size.stoch))
    start = State(torch.randn(rows, size.deter).tanh(), nn.functional.one_hot(classes, size.classes).flatten(1).float())
    draw = torch.rand if kind.discrete else torch.randn
    noise = Noise(torch.empty(0), torch.rand(horizon, rows, size.stoch), draw(horizon + 1, rows, kind.noise))
    start = State(start.deter.to(DEVICE), start.stoch.to(DEVICE))
    noise = Noise(noise.posterior, noise.prior.to(DEVICE), noise.action.to(DEVICE))
    rollout = ImaginedRollout(agent, view_of, Precision.of("float32"), rows, horizon)
    rollout.prepare()
    rollout.features[0], rollout.deter[0] = start.feature, start.deter
    rollout.run(noise.prior, noise.action[:horizon])
    with torch.no_grad():
        eager = imagine(agent, start, noise, LossConfig(horizon_H=horizon))
    return Case(agent, rollout, noise, eager)


@pytest.mark.parametrize("size", [SHALLOW, DEEP, UNEVEN, WIDE], ids=["shallow", "deep", "uneven", "wide"])
@pytest.mark.parametrize("kind", [BOX, DISCRETE], ids=["box", "discrete"])
def test_states_and_actions_equal_the_eager_backends(size: NetworkSize, kind: ActionKind) -> None:
    case = imagined(size, kind)
    features = case.eager_features()
    torch.testing.assert_close(case.rollout.actions, case.eager.actions, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        case.rollout.features[..., : size.deter], features[..., : size.deter], rtol=1e-5, atol=1e-5
    )
    assert torch.equal(case.rollout.features[..., size.deter :], features[..., size.deter :])
    torch.testing.assert_close(case.rollout.deter, case.rollout.features[..., : size.deter].float(), rtol=0, atol=0)


def test_the_actors_first_product_is_stored_without_bias() -> None:
    case = imagined(SHALLOW, BOX)
    product = case.eager_features()[:-1] @ case.agent.actor.first.weight.t()
    torch.testing.assert_close(case.rollout.actor_first, product, rtol=1e-5, atol=1e-5)


def test_rows_that_do_not_fill_a_tile_are_computed() -> None:
    case = imagined(SHALLOW, BOX, rows=19)
    torch.testing.assert_close(case.rollout.features, case.eager_features(), rtol=1e-5, atol=1e-5)


def test_actions_out_of_range_are_stored_as_sampled_and_scaled_for_the_core() -> None:
    case = imagined(SHALLOW, BOX)
    assert case.rollout.actions.abs().max() > 1.5
    torch.testing.assert_close(case.rollout.features, case.eager_features(), rtol=1e-5, atol=1e-5)


def test_noise_above_the_total_probability_gives_the_last_class() -> None:
    agent = make_agent(SHALLOW, DISCRETE)
    rollout = ImaginedRollout(agent, view_of, Precision.of("float32"), 16, 1)
    rollout.prepare()
    above_every_sum = torch.full((1, 16, SHALLOW.stoch), 1.1, device=DEVICE)  # as rounding of the sum can cause
    rollout.run(above_every_sum, above_every_sum[..., :1].contiguous())
    assert (rollout.actions.argmax(-1) == DISCRETE.size - 1).all()
    latent = rollout.features[1, :, SHALLOW.deter :].unflatten(1, (SHALLOW.stoch, SHALLOW.classes))
    assert (latent.argmax(-1) == SHALLOW.classes - 1).all()


def test_a_rollout_uses_the_weights_at_the_last_preparation() -> None:
    case = imagined(SHALLOW, BOX)
    with torch.no_grad():
        case.agent.rssm.core.weight.add_(0.1)
        case.agent.actor.first.weight.add_(0.1)
    case.rollout.prepare()
    case.rollout.run(case.noise.prior, case.noise.action[:2])
    start = State(case.rollout.deter[0], case.rollout.features[0, :, SHALLOW.deter :].float())
    with torch.no_grad():
        case.eager = imagine(case.agent, start, case.noise, LossConfig(horizon_H=2))
    torch.testing.assert_close(case.rollout.features, case.eager_features(), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter has no bfloat16 products")
def test_the_first_step_in_bfloat16_is_close() -> None:
    agent = make_agent(SHALLOW, BOX)
    exact = imagined(SHALLOW, BOX, horizon=1)
    rollout = ImaginedRollout(
        agent,
        lambda p: ParameterView(p.data, p.data.bfloat16(), torch.empty(0), p.data.bfloat16()),
        Precision.of("bfloat16"),
        16,
        1,
    )
    rollout.prepare()
    rollout.features[0], rollout.deter[0] = exact.rollout.features[0], exact.rollout.deter[0]
    rollout.run(exact.noise.prior, exact.noise.action[:1])
    torch.testing.assert_close(rollout.actions, exact.rollout.actions, rtol=0.05, atol=0.05)
    torch.testing.assert_close(rollout.deter, exact.rollout.deter, rtol=0.05, atol=0.05)
