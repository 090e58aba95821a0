"""RLlib's config of SAC, with this package's learner."""

from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig

from dreamer_exp.algorithms.sac.learner import ReplayLearner


class ReplaySACConfig(SACConfig):  # type: ignore[misc]  # RLlib is untyped
    """SACConfig whose default learner is ReplayLearner; `learner_threads` are torch's in its process."""

    learner_threads = 1

    def get_default_learner_class(self) -> type:
        """Return ReplayLearner."""
        return ReplayLearner


def model_config(values: Mapping[str, Any]) -> DefaultModelConfig:
    """Return RLlib's description of the network; `values` are those of policy.json.

    A critic joins the encoded observation and action by two layers of the last hidden size.
    """
    hiddens, activation = list(values["fcnet_hiddens"]), values["fcnet_activation"]
    return DefaultModelConfig(
        fcnet_hiddens=hiddens,
        fcnet_activation=activation,
        fusionnet_hiddens=hiddens[-1:],
        fusionnet_activation=activation,
    )
