"""RLModule: building from a spec, RLlib's forward methods, inference-only copies."""

from dataclasses import asdict
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from dreamer_exp.algorithms.dreamerv3.module import STOCH, AgentModule
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

BOX, DISCRETE = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32), gymnasium.spaces.Discrete(3)
each_space = pytest.mark.parametrize("space", [BOX, DISCRETE], ids=["box", "discrete"])
N = 5


def build(space: gymnasium.Space[Any] = BOX, *, seed: int = 1, inference_only: bool = False) -> AgentModule:
    spec = RLModuleSpec(
        module_class=AgentModule,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (7,), np.float32),
        action_space=space,
        inference_only=inference_only,
        model_config={"size": asdict(SIZES["nano"]), "symlog_obs": True, "seed": seed},
    )
    module = spec.build()
    assert isinstance(module, AgentModule)
    return module


def batch(module: AgentModule) -> dict[str, Any]:
    initial = {name: torch.as_tensor(value) for name, value in module.get_initial_state().items()}
    return {
        Columns.OBS: torch.linspace(-1.0, 1.0, N * 7).view(N, 7),
        Columns.STATE_IN: {name: value.expand(N, *value.shape) for name, value in initial.items()},
        "is_first": torch.ones(N),
    }


@each_space
def test_actions_fit_the_action_space(space: gymnasium.Space[Any]) -> None:
    module = build(space)
    actions = module.forward_exploration(batch(module))[Columns.ACTIONS]
    assert all(space.contains(action.numpy()) for action in actions)


def test_exploration_draws_actions_and_inference_does_not() -> None:
    module = build()
    given = batch(module)
    explored = [module.forward_exploration(given)[Columns.ACTIONS] for _ in range(2)]
    assert not torch.equal(*explored)
    torch.manual_seed(0)
    first = module.forward_inference(given)[Columns.ACTIONS]
    torch.manual_seed(0)
    assert torch.equal(first, module.forward_inference(given)[Columns.ACTIONS])


def test_state_out_has_the_shapes_of_state_in() -> None:
    module = build()
    given = batch(module)
    out = module.forward_exploration(given)[Columns.STATE_OUT]
    assert {name: value.shape for name, value in out.items()} == {
        name: value.shape for name, value in given[Columns.STATE_IN].items()
    }
    assert out[STOCH].sum() == N * SIZES["nano"].stoch  # one-hot


def test_seed_determines_the_weights() -> None:
    left, same, other = build(), build(), build(seed=2)
    weights = [torch.cat([parameter.flatten() for parameter in module.parameters()]) for module in (left, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_building_does_not_touch_torchs_global_generator() -> None:
    before = torch.get_rng_state()
    build()
    assert torch.equal(before, torch.get_rng_state())


def test_inference_only_copy_loads_the_weights_and_acts_alike() -> None:
    learner, acting = build(seed=1), build(seed=2, inference_only=True)
    acting.set_state(learner.get_state(inference_only=True))
    assert sum(1 for _ in acting.parameters()) < sum(1 for _ in learner.parameters())
    torch.manual_seed(0)
    expected = learner.forward_inference(batch(learner))[Columns.ACTIONS]
    torch.manual_seed(0)
    assert torch.equal(acting.forward_inference(batch(acting))[Columns.ACTIONS], expected)
