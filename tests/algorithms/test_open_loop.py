"""Open-loop prediction of both algorithms: effects of actions, beginnings of episodes, and random numbers."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.implementation import imagine as imagine_published
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, world_model_losses
from dreamer_exp.algorithms.dreamerv3.maths import categorical_kl
from dreamer_exp.algorithms.dreamerv3.module import AgentModule
from dreamer_exp.algorithms.dreamerv3_rllib.open_loop import imagine as imagine_stock
from dreamer_exp.algorithms.open_loop import Imagined, imagine_open_loop
from dreamer_exp.checkpoints.policy_file import build
from tests.checkpoints.test_policy_file import NETWORKS

each_algorithm = pytest.mark.parametrize("algo", ["dreamerv3", pytest.param("dreamerv3_rllib", marks=pytest.mark.slow)])
N, T, H, GAMMA = 16, 8, 5, 0.9


def network(algo: str, kind: str = "box") -> RLModule:
    action = {"kind": kind, "size": 2}
    sizes = NETWORKS[algo]
    torch.manual_seed(0)
    return build({"algorithm": algo, "network": sizes, "observation_size": 2, "action": action, "symlog_obs": True})


def echo(generator: torch.Generator, steps: int) -> tuple[Tensor, Tensor]:
    """Return observations and actions (N, steps, 2): each observation is the last action, -1 or 1; zeros at first."""
    actions = torch.randint(2, (N, steps, 2), generator=generator).float() * 2.0 - 1.0
    return functional.pad(actions[:, :-1], (0, 0, 1, 0)), actions


def beginnings(steps: int) -> Tensor:
    return functional.pad(torch.zeros(N, steps - 1), (1, 0), value=1.0)


def loss(module: RLModule, observation: Tensor, actions: Tensor) -> Tensor:
    """Of a world model that learns what it will see; the reward is the observation's first number."""
    first = beginnings(T)
    if isinstance(module, AgentModule):
        agent, zeros = module.agent, torch.zeros(N, T)
        start = agent.rssm.initial(N)
        batch = Batch(observation, actions, torch.zeros(N, 2), observation[..., 0], first, zeros, zeros, start)
        noise = torch.rand(N, T, agent.size.stoch)
        return torch.stack(list(world_model_losses(agent, batch, noise, LossConfig(gamma=GAMMA))[0].values())).sum()
    out = module.dreamer_model.forward_train(observation, actions, first)
    target = out["sampled_obs_symlog_BxT"]
    decoded = (out["obs_distribution_means_BxT"] - target).square().sum(-1).mean()
    dynamics = categorical_kl(out["z_posterior_probs_BxT"], out["z_prior_probs_BxT"]).mean()
    return decoded + (out["rewards_BxT"] - target[..., 0]).square().mean() + dynamics


@cache
def learnt(algo: str) -> RLModule:
    """Return a network whose world model was trained on the echo."""
    module = network(algo)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        loss(module, *echo(generator, T)).backward()
        optimizer.step()
    return module


def imagine_any(module: RLModule, *given: Any) -> Imagined:
    return imagine_open_loop(imagine_published if isinstance(module, AgentModule) else imagine_stock, module, *given)


def imagine(module: RLModule, observation: Tensor, actions: Tensor, seed: int = 0) -> Imagined:
    return imagine_any(
        module, observation[:, :T].numpy(), beginnings(T).numpy(), actions[:, : T - 1 + H].numpy(), GAMMA, seed
    )


@each_algorithm
def test_each_action_leads_to_the_next_imagined_step(algo: str) -> None:
    observation, actions = echo(torch.Generator().manual_seed(2), T + H)
    dream = imagine(learnt(algo), observation, actions)
    assert dream.observation.shape == (N, H + 1, 2)
    real = observation[:, T - 1 :].numpy()
    assert np.abs(dream.observation - real).mean((0, 2)).max() < 0.3
    assert np.abs(dream.reward - real[..., 0]).mean(0).max() < 0.3


@each_algorithm
def test_steps_before_an_episode_begins_have_no_effect(algo: str) -> None:
    observation, actions = echo(torch.Generator().manual_seed(2), T + H)
    first = np.zeros((N, T), np.float32)
    first[:, 3] = 1.0
    dreams = []
    for before in (0.0, 5.0):
        seen, taken = observation[:, :T].numpy().copy(), actions[:, : T - 1 + H].numpy().copy()
        seen[:, :3], taken[:, :3] = before, before
        dreams.append(imagine_any(learnt(algo), seen, first, taken, GAMMA, 0))
    assert np.array_equal(dreams[0].observation, dreams[1].observation)


@each_algorithm
def test_latents_depend_on_the_seed_only(algo: str) -> None:
    given = (network(algo), *echo(torch.Generator().manual_seed(2), T + H))
    first, again, other = (imagine(*given, seed).observation for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@each_algorithm
def test_imagining_does_not_touch_torchs_global_generator(algo: str) -> None:
    given = (network(algo), *echo(torch.Generator().manual_seed(2), T + H))
    before = torch.get_rng_state()
    imagine(*given)
    assert torch.equal(before, torch.get_rng_state())


@each_algorithm
def test_discrete_actions_affect_the_steps_after_them(algo: str) -> None:
    module = network(algo, "discrete")
    seen = np.zeros((N, T, 2), np.float32)
    choices = np.zeros((N, T - 1 + H), np.int64)
    changed = choices.copy()
    changed[:, -1] = 1  # between the last two imagined steps
    dreams = [
        imagine_any(module, seen, beginnings(T).numpy(), taken, GAMMA, 0).observation for taken in (choices, changed)
    ]
    assert np.array_equal(dreams[0][:, :-1], dreams[1][:, :-1])
    assert not np.array_equal(dreams[0][:, -1], dreams[1][:, -1])


def test_discount_is_removed_from_the_continue_probability() -> None:
    """The target of the continue head is gamma while the episode continues."""
    module = network("dreamerv3")
    with torch.no_grad():
        module.agent.cont[-1].weight.zero_()
        module.agent.cont[-1].bias.fill_(np.log(GAMMA / (1.0 - GAMMA)))
    proceeds = imagine(module, *echo(torch.Generator().manual_seed(2), T + H)).proceeds
    assert proceeds.shape == (N, H + 1)
    assert np.allclose(proceeds, 1.0, atol=1e-6)


def test_continue_probability_of_rllibs_network_is_unchanged() -> None:
    module = network("dreamerv3_rllib")
    with torch.no_grad():
        last = [layer for layer in module.world_model.continue_predictor.modules() if hasattr(layer, "bias")][-1]
        last.weight.zero_()
        last.bias.fill_(1.0)
    proceeds = imagine(module, *echo(torch.Generator().manual_seed(2), T + H)).proceeds
    assert np.allclose(proceeds, 1.0 / (1.0 + np.exp(-1.0)))


def test_network_of_an_env_runner_is_refused() -> None:
    acting = AgentModule(
        observation_space=network("dreamerv3").observation_space,
        action_space=network("dreamerv3").action_space,
        inference_only=True,
        model_config=network("dreamerv3").model_config,
    )
    with pytest.raises(ValueError, match="use the learner's"):
        imagine(acting, *echo(torch.Generator().manual_seed(2), T + H))
