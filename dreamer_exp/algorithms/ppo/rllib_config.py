"""RLlib's config of PPO, with this package's learner and network."""

from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.core.models.base import Model
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from dreamer_exp.algorithms.ppo.learner import EpochLearner


class ActorCriticCatalog(PPOCatalog):  # type: ignore[misc]  # RLlib is untyped
    """PPOCatalog whose `free_log_std` has no effect on Discrete actions; RLlib refuses them with it."""

    def build_pi_head(self, framework: str) -> Model:
        """Return the policy head."""
        if hasattr(self.action_space, "n"):
            self._model_config_dict["free_log_std"] = False
        return super().build_pi_head(framework)


class EpochPPOConfig(PPOConfig):  # type: ignore[misc]  # RLlib is untyped
    """PPOConfig whose defaults are EpochLearner and ActorCriticCatalog."""

    def get_default_learner_class(self) -> type:
        """Return EpochLearner."""
        return EpochLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the spec of RLlib's module."""
        return RLModuleSpec(module_class=DefaultPPOTorchRLModule, catalog_class=ActorCriticCatalog)

    def validate_train_batch_size_vs_rollout_fragment_length(self) -> None:
        """Accept any fragment: a batch is collected over iterations."""


def model_config(values: Any) -> DefaultModelConfig:
    """Return RLlib's description of the network with separate actor and critic; `values` are those of policy.json."""
    return DefaultModelConfig(
        fcnet_hiddens=list(values["fcnet_hiddens"]),
        fcnet_activation=values["fcnet_activation"],
        free_log_std=values["free_log_std"],
        vf_share_layers=False,
    )
