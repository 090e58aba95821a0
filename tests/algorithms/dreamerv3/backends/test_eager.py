"""The eager update on the CPU: memory, and updates that are not finite."""

import gc

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

B, T, O, H = 4, 8, 6, 3  # noqa: E741  # the glossary's letters
KINDS = {"box": ActionKind(2, discrete=False), "discrete": ActionKind(3, discrete=True)}


GOAL = Part("goal", "vector", (2,), 0, 2)
ENTRIES = {  # by what is encoded
    "lidar": (GOAL, Part("seen", "lidar", (2, 18), 2, 38)),
    "grid": (GOAL, Part("seen", "grid", (2, 8, 9), 2, 146, "bernoulli")),
    "grid of uint8": (GOAL, Part("seen", "grid", (9, 8), 2, 74, uint8=True)),
    "image": (GOAL, Part("seen", "image", (8, 9, 3), 2, 218, "pixels")),
}
each_encoder = pytest.mark.parametrize("parts", ENTRIES.values(), ids=ENTRIES)


def make_update(kind: ActionKind = KINDS["box"], parts: tuple[Part, ...] = ()) -> EagerUpdate:
    torch.manual_seed(0)
    agent = Agent(SIZES["nano"], parts[-1].stop if parts else O, kind, symlog_obs=False, parts=parts)
    groups = [{"params": [parameter for parameter in agent.parameters() if parameter.requires_grad], "name": "all"}]
    generator = torch.Generator().manual_seed(1)
    return EagerUpdate(agent, LaProp(groups, warmup=0), ReturnRange(), LossConfig(horizon_H=H), generator)


def batch(update: EagerUpdate) -> Batch:
    generator, actions = torch.Generator().manual_seed(2), update.agent.action.size
    ends = torch.zeros(B, T)
    return Batch(
        observation=torch.rand(B, T, update.agent.observation_size, generator=generator),
        action=torch.rand(B, T, actions, generator=generator),
        previous_action=torch.rand(B, actions, generator=generator),
        reward=torch.rand(B, T, generator=generator),
        is_first=ends,
        is_last=ends,
        is_terminal=ends,
        carry=update.agent.rssm.initial(B),
    )


def tensors_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_update_frees_all_its_tensors(kind: ActionKind) -> None:
    # Python never collects an autograd graph that refers to itself through C++
    update = make_update(kind)
    given = batch(update)
    update(given)  # creates the optimiser's state
    before = tensors_alive()
    for _ in range(3):
        update(given)
    assert tensors_alive() == before


@each_encoder
def test_an_update_trains_each_encoder_and_decoder(parts: tuple[Part, ...]) -> None:
    update = make_update(parts=parts)
    given = batch(update)
    convolved = [*update.agent.encoder.convolved.parameters(), *update.agent.decoder.convolved.parameters()]
    before = [weights.clone() for weights in convolved]
    first, last = [update(given)[0] for _ in range(20)][::19]
    assert not any(torch.equal(now, then) for now, then in zip(convolved, before, strict=True))
    assert float(last["decoder/seen"]) < float(first["decoder/seen"])
    assert float(first["decoder/goal"] + first["decoder/seen"]) == pytest.approx(float(first["decoder"]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_non_finite_update_changes_neither_weights_nor_optimiser(value: float) -> None:
    # 1e30 is finite, but its square in the decoder loss is not
    update = make_update()
    given = batch(update)
    update(given)
    weights = [parameter.clone() for parameter in update.agent.parameters()]
    state = [tensor.clone() for held in update.optimizer.state.values() for tensor in held.values()]
    given.observation[1, 2, 3] = value
    figures, _ = update(given)
    assert not all(figure.isfinite() for figure in figures.values())
    assert all(torch.equal(now, then) for now, then in zip(update.agent.parameters(), weights, strict=True))
    state_now = [tensor for held in update.optimizer.state.values() for tensor in held.values()]
    assert all(torch.equal(now, then) for now, then in zip(state_now, state, strict=True))
