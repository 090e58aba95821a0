"""The implementation of `algo=dreamerv3` behind the interface of algorithms/protocol.py."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
import torch
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting.policy import EpisodePolicy
from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import batch_of
from dreamer_exp.algorithms.dreamerv3.configure import configure
from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.module import AgentModule
from dreamer_exp.algorithms.dreamerv3.world_model.open_loop import open_loop
from dreamer_exp.algorithms.protocol import BatchNames, Implementation


def describe_network(module: RLModule) -> dict[str, Any]:
    """Return the sizes and symlog of a network, and the parts of its observation if it has any."""
    described = {"network": asdict(module.agent.size), "symlog_obs": bool(module.model_config["symlog_obs"])}
    parts = module.model_config.get("observation")
    return {**described, "observation": parts} if parts else described


def build_network(
    description: Mapping[str, Any], observation_space: gymnasium.spaces.Box, action_space: gymnasium.Space[Any]
) -> RLModule:
    """Return the network of this description; with `acting_only`, as env runners have it."""
    return AgentModule(
        observation_space=observation_space,
        action_space=action_space,
        inference_only=bool(description.get("acting_only")),
        model_config={
            "symlog_obs": description["symlog_obs"],
            "size": description["network"],
            "seed": 0,
            "observation": description.get("observation") or [],
        },
    )


def policy_maker(module: RLModule) -> Callable[..., EpisodePolicy]:
    """Return a function that builds the policy for N rows; it can be unpickled without RLlib."""
    return partial(EpisodePolicy, module.agent)


def replay_update(
    learner: AgentLearner, batch: Mapping[str, NDArray[Any]], state: Mapping[str, Any]
) -> dict[str, float]:
    """Compute an update from a batch and the learner's extra state, if it is known; return its metrics."""
    if state:
        learner.set_extra_state(dict(state))
    figures, _ = learner.update_once(batch_of({name: torch.as_tensor(value) for name, value in batch.items()}))
    return {name: float(value) for name, value in figures.items()}


def imagine(  # noqa: PLR0917
    module: RLModule, seen: Tensor, is_first: Tensor, actions: Tensor, gamma: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictions as `protocol.Imagine` describes."""
    generator = torch.Generator(seen.device).manual_seed(seed)
    return open_loop(module.agent, seen, is_first, actions, gamma, generator)


IMPLEMENTATION = Implementation(
    configure=configure,
    describe_network=describe_network,
    build_network=build_network,
    policy_maker=policy_maker,
    replay_update=replay_update,
    batch_names=BatchNames("observation", "action", "reward"),
    imagine=imagine,
)
