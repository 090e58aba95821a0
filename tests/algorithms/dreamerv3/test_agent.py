"""Network: numbers of parameters, initial outputs, resets, slow critic."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import two_hot_mean
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

BOX = ActionKind(2, discrete=False)


def millions(name: str) -> float:
    agent = Agent(SIZES[name], 831, BOX)
    return sum(p.numel() for n, p in agent.named_parameters() if not n.startswith("slow_critic")) / 1e6


@pytest.mark.parametrize(("name", "expected"), [("XS", 4.3), ("1M", 0.74), ("12M", 10.1)])
def test_number_of_parameters_matches_the_name_of_the_size(name: str, expected: float) -> None:
    """The image encoder is missing: danijar/dreamerv3 has 10.1 million at 12M for this observation too."""
    assert millions(name) == pytest.approx(expected, rel=0.1)


@pytest.fixture(scope="module")
def agent() -> Agent:
    torch.manual_seed(0)
    return Agent(SIZES["1M"], 7, BOX)


def test_untrained_agent_predicts_zero_reward_and_value(agent: Agent) -> None:
    features = torch.randn(5, agent.size.feature)
    for head in (agent.reward, agent.critic, agent.slow_critic):
        assert two_hot_mean(head(features), agent.bins).tolist() == [0.0] * 5


def test_first_step_of_an_episode_resets_state_and_action(agent: Agent) -> None:
    tokens, uniform, first = torch.randn(1, 1, agent.size.units), torch.rand(1, 1, 32), torch.ones(1, 1)
    used = State(torch.randn(1, agent.size.deter), torch.rand(1, agent.size.latent))
    after_used, _ = agent.rssm.observe(tokens, torch.randn(1, 1, 2), first, used, uniform)
    after_initial, _ = agent.rssm.observe(tokens, torch.zeros(1, 1, 2), first, agent.rssm.initial(1), uniform)
    assert torch.equal(after_used.feature, after_initial.feature)


def test_observing_step_by_step_equals_observing_at_once(agent: Agent) -> None:
    tokens, actions, uniform = torch.randn(2, 4, agent.size.units), torch.randn(2, 4, 2), torch.rand(2, 4, 32)
    first = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 1.0, 0]])
    at_once, _ = agent.rssm.observe(tokens, actions, first, agent.rssm.initial(2), uniform)
    state = agent.rssm.initial(2)
    for t in range(4):
        now = slice(t, t + 1)
        steps, _ = agent.rssm.observe(tokens[:, now], actions[:, now], first[:, now], state, uniform[:, now])
        state = State(steps.deter[:, 0], steps.stoch[:, 0])
    assert torch.allclose(at_once.deter[:, -1], state.deter, atol=1e-5)


def test_slow_critic_moves_towards_the_critic(agent: Agent) -> None:
    with torch.no_grad():
        agent.critic[0].bias += 1.0
    before = agent.slow_critic[0].bias.clone()
    agent.update_slow_critic(0.02)
    assert torch.allclose(agent.slow_critic[0].bias, torch.lerp(before, agent.critic[0].bias, 0.02))
