"""RLlib's SAC learner with the replay in its process, and many updates in one call."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.algorithms.sac.torch.sac_torch_learner import SACTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.rllib.checked_learner import CheckedLearner
from dreamer_exp.algorithms.sac.replay import TransitionReplay

LOG_PROBABILITY, ENTROPY = "logps", "entropy"


class ReplayLearner(CheckedLearner, SACTorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """SACTorchLearner with the replay; a checkpoint of RLlib's lacks the entropy's weight.

    Attributes:
        replay: the buffer.
    """

    logged = ("policy_loss", "qf_loss", "qf_twin_loss", "alpha_loss", "alpha_value", LOG_PROBABILITY, "qf_mean")

    def build(self) -> None:
        """Build module and optimisers as RLlib does, then the replay."""
        super().build()
        config, module = self.config, self.module[DEFAULT_MODULE_ID]
        torch.set_num_threads(config.learner_threads)
        self.replay = TransitionReplay(
            config.replay_buffer_config["capacity"],
            config.rollout_fragment_length,
            module.observation_space.shape[0],
            module.action_space.shape[0],
            config.seed,
        )

    def add(self, chunks: list[SingleAgentEpisode]) -> int:
        """Add episode chunks to the replay in this order; return the number of steps now held."""
        for chunk in chunks:
            self.replay.add(chunk)
        return len(self.replay)

    def learn(self, updates: int) -> tuple[dict[str, float], float] | NonFiniteUpdate:
        """Make this many updates; return the sums of their figures and the duration in seconds.

        If a figure is not finite, return that update instead, for the caller to raise: RLlib 2.60 discards a remote
        learner whose call raises. The weights are those before it.
        """
        started = time.perf_counter()
        self._sums.clear()
        try:
            for _ in range(updates):
                self.update_once(self.replay.sample(self.config.train_batch_size_per_learner))
        except NonFiniteUpdate as update:
            return update
        self.metrics.reduce()  # drops what RLlib logged
        sums: dict[str, float] = dict(self._sums)
        sums[ENTROPY] = -sums.pop(LOG_PROBABILITY)
        return sums, time.perf_counter() - started

    def get_extra_state(self) -> dict[str, Any]:
        """Return what an update depends on apart from weights, optimisers and replay."""
        return {"log_alpha": float(self.curr_log_alpha[DEFAULT_MODULE_ID].detach()), "updates_made": self.updates_made}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.curr_log_alpha[DEFAULT_MODULE_ID].data.fill_(float(state["log_alpha"]))
        self.updates_made = int(state["updates_made"])
