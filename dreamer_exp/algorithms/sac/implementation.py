"""The implementation of `algo=sac` behind the interface of algorithms/protocol.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
import torch
from ray.rllib.algorithms.sac.torch.default_sac_torch_rl_module import DefaultSACTorchRLModule
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor

from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.checked_learner import replay_update
from dreamer_exp.algorithms.rllib.stateless_policy import StatelessPolicy
from dreamer_exp.algorithms.sac.configure import configure
from dreamer_exp.algorithms.sac.rllib_config import model_config
from dreamer_exp.algorithms.sac.sizes import NETWORK


def describe_network(module: RLModule) -> dict[str, Any]:
    """Return the layers of a network."""
    return {"network": {name: module.model_config[name] for name in NETWORK}}


def build_network(
    description: Mapping[str, Any], observation_space: gymnasium.spaces.Box, action_space: gymnasium.Space[Any]
) -> RLModule:
    """Return RLlib's network of this description, with the targets of the critics."""
    module = DefaultSACTorchRLModule(
        observation_space=observation_space,
        action_space=action_space,
        inference_only=False,
        model_config={**asdict(model_config(description["network"])), "twin_q": True},
    )
    module.make_target_networks()
    return module


def policy_maker(module: RLModule) -> Callable[..., StatelessPolicy]:
    """Return a function that builds the policy for N rows."""
    return partial(StatelessPolicy, module, _squashed_mean)


def _squashed_mean(outputs: Tensor) -> Tensor:
    return torch.tanh(outputs.chunk(2, dim=-1)[0])


IMPLEMENTATION = Implementation(
    configure=configure,
    describe_network=describe_network,
    build_network=build_network,
    policy_maker=policy_maker,
    replay_update=replay_update,
)
