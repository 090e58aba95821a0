"""RLlib's PPO learner: an update for each minibatch, means over the updates, and a state that is complete."""

import math
from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.updates import arrays

EXTRA_STATE = "extra_state"  # key of get_extra_state() in the learner's state
LOGGED = ("policy_loss", "vf_loss_unclipped", "entropy", "mean_kl_loss", "vf_explained_var")  # RLlib's, of an update
GRAD_NORM, TOTAL = "grad_norm", "total_loss"


class EpochLearner(PPOTorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """PPOTorchLearner that differs from RLlib 2.60:

    - Its figures are means over all updates; RLlib's are those of the last minibatch.
    - The first loss or gradient that is not finite ends the updates; RLlib replaces such gradients by numbers.
    - Its state has the coefficient of the KL penalty, which a checkpoint of RLlib lacks.
    """

    def build(self) -> None:
        """Build module and optimiser as RLlib does."""
        super().build()
        torch.set_num_threads(1)  # on networks this small, further threads wait for each other
        self._updates_made = 0
        self._sums: Counter[str] = Counter()
        self._figures: dict[str, float] = {}
        self._batch: Any = None

    def learn(self, episodes: list[SingleAgentEpisode]) -> tuple[dict[str, float], int] | NonFiniteUpdate:
        """Make `num_epochs` passes over the steps of episodes; return the means of the figures and the updates made.

        If a figure is not finite, return that update instead, for the caller to raise: RLlib 2.60 discards a remote
        learner whose call raises. The weights are those before it.
        """
        before = self._updates_made
        config = self.config
        self._sums.clear()
        try:
            self.update(
                episodes=episodes,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0},  # of schedules, which there are none of
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
        except NonFiniteUpdate as update:
            return update
        made = self._updates_made - before
        means = {name: total / made for name, total in self._sums.items()}
        if config.use_kl_loss:
            means["curr_kl_coeff"] = self._kl_coefficient
        else:
            means.pop("mean_kl_loss")
        return means, made

    def update_once(self, batch: dict[str, NDArray[Any]]) -> dict[str, float]:
        """Make one update with a minibatch; return its figures."""
        try:
            self.update(
                batch=MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(batch)}, env_steps=len(batch["obs"])),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: 0},
            )
        except NonFiniteUpdate as update:
            return update.figures
        return self._figures

    def compute_losses(self, *, fwd_out: dict[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
        """Return RLlib's loss; raise NonFiniteUpdate if it is not finite."""
        losses: dict[str, Any] = super().compute_losses(fwd_out=fwd_out, batch=batch)
        self._figures = {TOTAL: float(losses[DEFAULT_MODULE_ID].detach())}
        logged = {name: torch.as_tensor(self.metrics.peek((DEFAULT_MODULE_ID, name))) for name in LOGGED}
        self._figures |= {name: float(value.detach()) for name, value in logged.items()}
        self._batch = batch
        self._check({TOTAL: self._figures[TOTAL]})
        return losses

    def postprocess_gradients(self, gradients_dict: dict[Any, Any]) -> dict[Any, Any]:
        """Return the clipped gradients; raise NonFiniteUpdate if their norm is not finite."""
        norms = [torch.linalg.vector_norm(grad) for grad in gradients_dict.values()]
        norm = torch.linalg.vector_norm(torch.stack(norms))
        self._figures[GRAD_NORM] = float(norm)
        self._check({GRAD_NORM: self._figures[GRAD_NORM]})
        self._sums.update(self._figures)  # Counter.update adds
        self._updates_made += 1
        clipped: dict[Any, Any] = super().postprocess_gradients(gradients_dict)
        return clipped

    def _check(self, figures: dict[str, float]) -> None:
        if not all(map(math.isfinite, figures.values())):
            batch = arrays(self._batch[DEFAULT_MODULE_ID])
            raise NonFiniteUpdate(self._updates_made + 1, self._figures, batch, self.get_extra_state(), untouched=True)

    @property
    def _kl_coefficient(self) -> float:
        return float(self.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID])

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return RLlib's state of the learner, with the extra state."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(EXTRA_STATE, components, not_components):
            state[EXTRA_STATE] = self.get_extra_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state, whichever updates were made since."""
        self._weights_seq_no = 0  # RLlib 2.60 keeps the weights if they are newer than those of the state
        super().set_state(state)
        if EXTRA_STATE in state:
            self.set_extra_state(state[EXTRA_STATE])

    def get_extra_state(self) -> dict[str, Any]:
        """Return what an update depends on apart from weights and optimiser."""
        return {"kl_coefficient": self._kl_coefficient, "updates_made": self._updates_made}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID].data.fill_(float(state["kl_coefficient"]))
        self._updates_made = int(state["updates_made"])


def seed_shuffling(learner: EpochLearner, seed: int) -> None:
    """Seed the generator that shuffles the minibatches, in a learner that is a process of its own."""
    np.random.seed(seed % 2**32)  # noqa: NPY002  # RLlib's SampleBatch.shuffle draws from it
