"""Acting from packed weights: the same step as by the agent's own layers."""

import dataclasses

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting.packed import PackedAgent, Step
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

ROWS, ENTRIES = 5, 20
NANO = SIZES["nano"]
CASES = {
    "one layer": {"size": NANO},
    "several layers": {
        "size": dataclasses.replace(NANO, encoder_layers=3, posterior_layers=2, actor_layers=3, prior_layers=2)
    },
    "no symlog": {"size": NANO, "symlog_obs": False},
    "lidar": {"size": NANO, "parts": (Part("rays", "lidar", (1, 18), 0, 18), Part("goal", "vector", (2,), 18, 20))},
}


@pytest.fixture(params=CASES)
def agent(request: pytest.FixtureRequest) -> Agent:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Agent(observation_size=ENTRIES, action=ActionKind(2, discrete=False), **CASES[request.param])
        torch.nn.init.normal_(made.actor[-1].weight)
    return made


def numbers(agent: Agent) -> tuple[Tensor, ...]:
    """Return the arguments of a step; row 0 begins an episode, and some actions lie beyond the bounds."""
    size, generator = agent.size, torch.Generator().manual_seed(1)
    deter = torch.rand(ROWS, size.deter, generator=generator) * 2 - 1
    classes = torch.randint(size.classes, (ROWS, size.stoch), generator=generator)
    action = 2 * torch.randn(ROWS, 2, generator=generator)
    observation = 3 * torch.randn(ROWS, ENTRIES, generator=generator)
    keep = torch.ones(ROWS, 1)
    keep[0] = 0.0
    return deter, classes, keep, action, observation, torch.rand(ROWS, size.stoch, generator=generator)


def by_layers(agent: Agent) -> Step:
    deter, classes, keep, action, observation, uniform = numbers(agent)
    latent = torch.nn.functional.one_hot(classes, agent.size.classes).flatten(1).float()
    before = State(deter, latent * keep)
    state, drawn = agent.rssm.observe_step(before, action, agent.encoder(observation), uniform)
    return Step(state.deter, drawn, agent.actor(state.feature))


def equal(left: Step, right: Step) -> bool:
    same = torch.equal(left.classes, right.classes)
    return same and all(torch.allclose(a, b, atol=1e-5) for a, b in ((left[0], right[0]), (left[2], right[2])))


def test_step_equals_the_one_of_the_agents_layers(agent: Agent) -> None:
    with torch.inference_mode():
        assert equal(by_layers(agent), PackedAgent(agent)(*numbers(agent)))


def test_new_weights_take_effect_at_the_next_step(agent: Agent) -> None:
    packed, weights = PackedAgent(agent), {name: 1.5 * value for name, value in agent.state_dict().items()}
    with torch.inference_mode():
        before = packed(*numbers(agent))
        agent.load_state_dict(weights)
        after = packed(*numbers(agent))
        assert not equal(before, after)
        assert equal(after, by_layers(agent))
