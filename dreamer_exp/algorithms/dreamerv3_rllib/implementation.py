"""The implementation of `algo=dreamerv3_rllib` behind the interface of algorithms/protocol.py."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
from numpy.typing import NDArray
from ray.rllib.algorithms.dreamerv3.dreamerv3_catalog import DreamerV3Catalog
from ray.rllib.algorithms.dreamerv3.torch.dreamerv3_torch_rl_module import DreamerV3TorchRLModule
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from dreamer_exp.algorithms.dreamerv3_rllib.configure import configure
from dreamer_exp.algorithms.dreamerv3_rllib.open_loop import imagine
from dreamer_exp.algorithms.dreamerv3_rllib.policy import DreamerPolicy
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import NETWORK
from dreamer_exp.algorithms.nonfinite import figures_of, is_nonfinite
from dreamer_exp.algorithms.protocol import Implementation


def describe_network(module: RLModule) -> dict[str, Any]:
    """Return size, batch length and symlog of a network."""
    config = module.model_config
    return {"network": {name: config[name] for name in NETWORK}, "symlog_obs": bool(config["symlog_obs"])}


def build_network(
    description: Mapping[str, Any], observation_space: gymnasium.spaces.Box, action_space: gymnasium.Space[Any]
) -> RLModule:
    """Return RLlib's network of this description."""
    return DreamerV3TorchRLModule(
        observation_space=observation_space,
        action_space=action_space,
        inference_only=False,
        model_config={"symlog_obs": description["symlog_obs"], **description["network"]},
        catalog_class=DreamerV3Catalog,
    )


def policy_maker(module: RLModule) -> Callable[..., DreamerPolicy]:
    """Return a function that builds the policy for N rows."""
    return partial(DreamerPolicy, module)


def replay_update(learner: Learner, batch: Mapping[str, NDArray[Any]], state: Mapping[str, Any]) -> dict[str, float]:
    """Compute an update and return its metrics; {} if RLlib's or torch's checks end it before it has any."""
    try:
        results = learner.update(
            batch=SampleBatch(dict(batch)).as_multi_agent(), timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0}
        )
    except (AssertionError, ValueError) as error:
        if not is_nonfinite(error):
            raise
        return {}
    return figures_of([results])


IMPLEMENTATION = Implementation(
    configure=configure,
    describe_network=describe_network,
    build_network=build_network,
    policy_maker=policy_maker,
    replay_update=replay_update,
    imagine=imagine,
)
