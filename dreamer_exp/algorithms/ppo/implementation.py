"""The implementation of `algo=ppo` behind the interface of algorithms/protocol.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor

from dreamer_exp.algorithms.ppo.configure import configure
from dreamer_exp.algorithms.ppo.env_runner import mode
from dreamer_exp.algorithms.ppo.rllib_config import ActorCriticCatalog, model_config
from dreamer_exp.algorithms.ppo.sizes import NETWORK
from dreamer_exp.algorithms.protocol import Implementation
from dreamer_exp.algorithms.rllib.checked_learner import replay_update
from dreamer_exp.algorithms.rllib.stateless_policy import StatelessPolicy


def describe_network(module: RLModule) -> dict[str, Any]:
    """Return the layers of a network."""
    return {"network": {name: module.model_config[name] for name in NETWORK}}


def build_network(
    description: Mapping[str, Any], observation_space: gymnasium.spaces.Box, action_space: gymnasium.Space[Any]
) -> RLModule:
    """Return RLlib's network of this description."""
    return DefaultPPOTorchRLModule(
        observation_space=observation_space,
        action_space=action_space,
        inference_only=False,
        model_config=asdict(model_config(description["network"])),
        catalog_class=ActorCriticCatalog,
    )


def policy_maker(module: RLModule) -> Callable[..., StatelessPolicy]:
    """Return a function that builds the policy for N rows."""
    discrete = isinstance(module.action_space, gymnasium.spaces.Discrete)
    return partial(StatelessPolicy, module, partial(_most_likely, discrete=discrete))


def _most_likely(logits: Tensor, discrete: bool) -> Tensor:
    actions = mode(logits, discrete)
    return actions if discrete else actions.clamp(-1.0, 1.0)


IMPLEMENTATION = Implementation(
    configure=configure,
    describe_network=describe_network,
    build_network=build_network,
    policy_maker=policy_maker,
    replay_update=replay_update,
)
