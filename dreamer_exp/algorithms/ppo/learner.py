"""RLlib's PPO learner, with means over all minibatches and a state that is complete."""

from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.checked_learner import TIMESTEPS, CheckedLearner

KL, KL_COEFFICIENT = "mean_kl_loss", "curr_kl_coeff"


class EpochLearner(CheckedLearner, PPOTorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """PPOTorchLearner; a checkpoint of RLlib's lacks the coefficient of the KL penalty."""

    logged = ("policy_loss", "vf_loss_unclipped", "entropy", KL, "vf_explained_var")

    def learn(self, episodes: list[SingleAgentEpisode]) -> tuple[dict[str, float], int] | NonFiniteUpdate:
        """Make `num_epochs` passes over the steps of episodes; return the means of the figures and the updates made.

        If a figure is not finite, return that update instead, for the caller to raise: RLlib 2.60 discards a remote
        learner whose call raises. The weights are those before it.
        """
        before, config = self.updates_made, self.config
        self._sums.clear()
        try:
            self.update(
                episodes=episodes,
                timesteps=TIMESTEPS,
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
        except NonFiniteUpdate as update:
            return update
        made = self.updates_made - before
        means = {name: total / made for name, total in self._sums.items()}
        if config.use_kl_loss:
            means[KL_COEFFICIENT] = self._kl_coefficient
        else:
            del means[KL]  # RLlib does not compute it
        return means, made

    @property
    def _kl_coefficient(self) -> float:
        return float(self.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID])

    def get_extra_state(self) -> dict[str, Any]:
        """Return what an update depends on apart from weights and optimiser."""
        return {"kl_coefficient": self._kl_coefficient, "updates_made": self.updates_made}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID].data.fill_(float(state["kl_coefficient"]))
        self.updates_made = int(state["updates_made"])
