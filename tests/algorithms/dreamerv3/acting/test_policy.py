"""Policy: the step of the RSSM, actions, determinism, resets."""

import numpy as np
import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.acting.policy import AgentPolicy, EpisodePolicy
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

SIZE, ROWS = 7, 3
BOX, DISCRETE = ActionKind(2, discrete=False), ActionKind(4, discrete=True)
STEPS = np.random.default_rng(0).normal(size=(5, ROWS, SIZE)).astype(np.float32)


def make_agent(kind: ActionKind) -> Agent:
    """Return an agent with random weights in the actor's output layer, which are nearly zero initially."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(SIZES["1M"], SIZE, kind)
        torch.nn.init.normal_(agent.actor[-1].weight)
    return agent


BOX_AGENT, DISCRETE_AGENT = make_agent(BOX), make_agent(DISCRETE)


def actions(seed: int, agent: Agent = BOX_AGENT, explore: bool = True) -> np.ndarray:
    policy = AgentPolicy(agent, ROWS, seed, explore)
    return np.stack([policy.act(step) for step in STEPS])


def test_observe_step_equals_observe_over_one_step() -> None:
    rssm, generator = BOX_AGENT.rssm, torch.Generator().manual_seed(1)
    deter = torch.rand(ROWS, BOX_AGENT.size.deter, generator=generator) * 2 - 1
    before = State(deter, observe_step(rssm.initial(ROWS), torch.zeros(ROWS, 2), *numbers(2)).stoch)
    observation, noise = numbers(3)
    previous = 3 * torch.randn(ROWS, 2, generator=generator)
    tokens = BOX_AGENT.encoder(observation)
    first = torch.tensor([1.0, 0.0, 0.0])
    theirs, _ = rssm.observe(tokens[:, None], previous[:, None], first[:, None], before, noise[:, None])
    keep = 1.0 - first[:, None]
    ours = observe_step(before.masked(keep), previous * keep, observation, noise)
    assert torch.allclose(theirs.deter[:, 0], ours.deter, atol=1e-5)
    assert torch.allclose(theirs.stoch[:, 0], ours.stoch, atol=1e-5)


def observe_step(state: State, action: torch.Tensor, observation: torch.Tensor, noise: torch.Tensor) -> State:
    return BOX_AGENT.rssm.observe_step(state, action, BOX_AGENT.encoder(observation), noise)[0]


def numbers(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return observations (N, O) and noise (N, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, SIZE, generator=generator), torch.rand(ROWS, 32, generator=generator)


@pytest.mark.parametrize("explore", [True, False])
def test_box_actions_lie_in_the_bounds(explore: bool) -> None:
    found = actions(seed=1, explore=explore)
    assert found.shape == (5, ROWS, 2)
    assert 0.1 < np.abs(found).max() <= 1.0


@pytest.mark.parametrize("explore", [True, False])
def test_discrete_actions_are_integers_below_n(explore: bool) -> None:
    found = actions(seed=1, agent=DISCRETE_AGENT, explore=explore)
    assert found.shape == (5, ROWS)
    assert found.dtype.kind == "i"
    assert set(found.flat) <= set(range(4))


def test_exploration_spreads_around_the_mode() -> None:
    policy = AgentPolicy(DISCRETE_AGENT, 200, seed=1, explore=True)
    explored = policy.act(np.repeat(STEPS[0][:1], 200, 0))
    assert len(set(explored.tolist())) > 1


@pytest.mark.parametrize("explore", [True, False])
def test_same_seed_gives_the_same_actions(explore: bool) -> None:
    assert np.array_equal(actions(1, explore=explore), actions(1, explore=explore))


def test_another_seed_gives_other_actions() -> None:
    assert not np.array_equal(actions(1), actions(2))


def test_acting_does_not_touch_torchs_global_generator() -> None:
    before = torch.get_rng_state()
    actions(seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_state_depends_on_earlier_observations() -> None:
    policy = AgentPolicy(BOX_AGENT, ROWS, seed=1)
    policy.act(STEPS[0])
    before = policy.deter
    policy.act(STEPS[0])
    assert not np.array_equal(before, policy.deter)


def test_is_first_resets_its_row_only() -> None:
    new, used = AgentPolicy(BOX_AGENT, ROWS, seed=1), AgentPolicy(BOX_AGENT, ROWS, seed=1)
    new.act(STEPS[1])
    used.act(STEPS[0])
    used._generator.set_state(torch.Generator().manual_seed(1).get_state())
    used.act(STEPS[1], np.array([True, False, False]))
    assert np.allclose(new.deter[0], used.deter[0], atol=1e-3)
    assert not np.allclose(new.deter[1], used.deter[1], atol=1e-3)


def test_policy_provides_action_and_latents_of_its_last_step() -> None:
    policy = AgentPolicy(DISCRETE_AGENT, ROWS, seed=1, explore=True)
    taken = policy.act(STEPS[0])
    size = DISCRETE_AGENT.size
    assert np.array_equal(policy.action, np.eye(4, dtype=np.float32)[taken])
    assert (policy.deter.shape, policy.deter.dtype) == ((ROWS, size.deter), np.float16)
    assert (policy.stoch.shape, policy.stoch.dtype) == ((ROWS, size.stoch), np.uint8)
    assert policy.stoch.max() < size.classes


def test_stored_action_is_the_one_returned() -> None:
    policy = AgentPolicy(BOX_AGENT, ROWS, seed=1, explore=True)
    assert np.array_equal(policy.act(STEPS[0]), policy.action)


def test_a_row_that_was_not_finite_begins_a_new_episode() -> None:
    policy = EpisodePolicy(BOX_AGENT, ROWS)
    policy.begin(0, seed=1)
    first = policy.act(STEPS[0])[0]
    policy.act(np.full_like(STEPS[0], np.nan))
    policy.begin(0, seed=1)
    assert np.array_equal(policy.act(STEPS[0])[0], first)
